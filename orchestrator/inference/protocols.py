"""What the pipeline asks of inference, whatever serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.values import Detections, Float32, Frame, UInt8


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which weights answer; stored with every embedding, since embeddings of different weights do not compare."""

    name: str
    """The ``model_id`` that the server reports, else the model's name there."""
    version: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class ImageSlot(Protocol):
    """One tick's frames on their way to the detector."""

    @property
    def images(self) -> UInt8:
        """[cameras, H, W, 3] RGB, writable, at the detector's input size; rows hold whatever was there before."""
        ...


class Detector(Protocol):
    """Finds people."""

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the model's input, pixels."""
        ...

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        ...

    async def acquire(self) -> ImageSlot:
        """A free slot; waits while ``ticks_in_flight`` of them are taken, which holds the pipeline back."""
        ...

    def release(self, slot: ImageSlot) -> None:
        """Gives a slot back; harmless when repeated."""
        ...

    async def detect(self, slot: ImageSlot, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """People in the slot's first ``len(sizes_hw)`` rows, best first, of at least ``low_detection_threshold``.

        Args:
            slot: rows letterboxed as ``orchestrator.scaling.write_letterbox`` does.
            sizes_hw: source size of each row's frame; boxes come back in its pixels, clipped to it.

        Raises:
            InferenceError: the server cannot be reached, is too slow, or failed.
            ModelContractError: the answer does not have the shape that the model declares.
        """
        ...


class Embedder(Protocol):
    """Describes how people look."""

    @property
    def dimension(self) -> int:
        """Values in an embedding."""
        ...

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        ...

    async def embed(self, frames: Sequence[Frame], boxes: Sequence[Float32]) -> list[Float32]:
        """[N_i, dimension] L2-normalised embeddings of the boxes [N_i, 4] (xyxy, source pixels) of each frame.

        Raises:
            InferenceError: the server cannot be reached, is too slow, or failed.
            ModelContractError: the answer does not have the shape that the model declares.
        """
        ...
