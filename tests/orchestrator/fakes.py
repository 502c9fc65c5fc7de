"""Inference without a server: people are the bright patches of the pictures that ``videos.write_video`` makes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from orchestrator.inference.client import Inference
from orchestrator.inference.protocols import ImageSlot, ModelId
from orchestrator.scaling import letterbox_scale
from orchestrator.values import Detections, Float32, Frame, UInt8

INPUT_HW = (48, 80)
BRIGHT = 200


class FakeSlot:
    def __init__(self, cameras: int) -> None:
        self.images: UInt8 = np.zeros((cameras, *INPUT_HW, 3), np.uint8)


class BrightPatchDetector:
    """Finds the bright patch of every frame; answers out of order, as a busy server may."""

    input_hw = INPUT_HW
    model = ModelId("bright-patch", "1")

    def __init__(self, cameras: int, slots: int, *, delay_s: float = 0.0) -> None:
        self._free: asyncio.Queue[FakeSlot] = asyncio.Queue()
        for _ in range(slots):
            self._free.put_nowait(FakeSlot(cameras))
        self._delay_s = delay_s
        self.asked = 0
        self.slots = slots
        self.most_taken = 0

    @property
    def taken(self) -> int:
        return self.slots - self._free.qsize()

    async def acquire(self) -> FakeSlot:
        slot = await self._free.get()
        self.most_taken = max(self.most_taken, self.taken)
        return slot

    def release(self, slot: ImageSlot) -> None:
        assert isinstance(slot, FakeSlot)
        self._free.put_nowait(slot)

    async def detect(self, slot: ImageSlot, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        self.asked += 1
        await asyncio.sleep(self._delay_s * (1 + self.asked % 3))
        return [_bright_patch(image, size) for image, size in zip(slot.images, sizes_hw, strict=False)]


class MeanColourEmbedder:
    """Describes a crop by its mean colour."""

    dimension = 3
    model = ModelId("mean-colour", "1")

    async def embed(self, frames: Sequence[Frame], boxes: Sequence[Float32]) -> list[Float32]:
        return [
            np.stack([_mean_colour(frame, box) for box in rows]) if len(rows) else np.zeros((0, 3), np.float32)
            for frame, rows in zip(frames, boxes, strict=True)
        ]


class BrightnessEmbedder:
    """Describes a crop by how bright it is, and how dark: another model, with embeddings of another length."""

    dimension = 2
    model = ModelId("brightness", "1")

    async def embed(self, frames: Sequence[Frame], boxes: Sequence[Float32]) -> list[Float32]:
        angles = [
            np.array([_mean_colour(frame, box)[0] for box in rows], np.float32)
            for frame, rows in zip(frames, boxes, strict=True)
        ]
        return [np.stack([np.cos(each), np.sin(each)], axis=1) for each in angles]


def fake_inference(cameras: int, slots: int = 4, *, delay_s: float = 0.0) -> Inference:
    return Inference(BrightPatchDetector(cameras, slots, delay_s=delay_s), MeanColourEmbedder())


def _bright_patch(image: UInt8, size_hw: tuple[int, int]) -> Detections:
    rows, columns = np.nonzero(image[..., 0] > BRIGHT)
    if not len(rows):
        return Detections.empty()
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    return Detections(box / letterbox_scale(size_hw, INPUT_HW), np.array([0.9], np.float32))


def _mean_colour(frame: Frame, box: Float32) -> Float32:
    left, top, right, bottom = box.astype(int)
    colour = frame.pixels[top:bottom, left:right].reshape(-1, 3).mean(axis=0)
    return np.asarray(colour / np.linalg.norm(colour), np.float32)
