"""People in letterboxed frames, found by Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from orchestrator.inference.contract import DETECTOR_INPUT, DETECTOR_OUTPUTS, ModelInfo, detector_input_hw
from orchestrator.inference.protocols import ImageSlot, ModelId
from orchestrator.inference.slots import Slot, SlotPool
from orchestrator.inference.triton import TritonClient
from orchestrator.scaling import letterbox_scale
from orchestrator.settings import Settings
from orchestrator.values import Detections, Float32


class TritonDetector:
    """See ``Detector``; made by ``open``."""

    def __init__(self, client: TritonClient, info: ModelInfo, slots: Sequence[Slot], lowest_score: float) -> None:
        self._client = client
        self._info = info
        self._input_hw = detector_input_hw(info)
        self._pool = SlotPool(slots)
        self._lowest_score = lowest_score

    @classmethod
    async def open(cls, client: TritonClient, settings: Settings, cameras: int) -> TritonDetector:
        """Checks the model and makes ``ticks_in_flight`` slots of ``cameras`` rows.

        Raises:
            ModelContractError: the model is missing or does not fit the contract.
            InferenceError: the server cannot be reached, or shared memory is demanded and cannot be had.
        """
        info = await client.describe(settings.detector_model)
        slots = await client.allocate(settings.ticks_in_flight, (cameras, *detector_input_hw(info), 3))
        return cls(client, info, slots, settings.low_detection_threshold)

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the model's input, pixels."""
        return self._input_hw

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        return self._info.model_id

    async def acquire(self) -> ImageSlot:
        """See ``Detector``."""
        return await self._pool.acquire()

    def release(self, slot: ImageSlot) -> None:
        """See ``Detector``."""
        self._pool.release(_own(slot))

    async def detect(self, slot: ImageSlot, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """See ``Detector``; one request, or as many as the model's ``max_batch_size`` makes necessary."""
        step = self._info.max_batch_size
        rows = range(len(sizes_hw))
        answers = await asyncio.gather(*(self._ask(_own(slot), rows[start : start + step]) for start in rows[::step]))
        found = [row for boxes, scores in answers for row in zip(boxes, scores, strict=True)]
        return [self._detections(*row, size_hw) for row, size_hw in zip(found, sizes_hw, strict=True)]

    async def _ask(self, slot: Slot, rows: range) -> list[Float32]:
        return await self._client.infer(self._info, DETECTOR_INPUT, slot, rows, DETECTOR_OUTPUTS)

    def _detections(self, boxes: Float32, scores: Float32, size_hw: tuple[int, int]) -> Detections:
        """Boxes [K, 4] of the model's input as those of the source frame; padding and slivers are left out."""
        height, width = size_hw
        limits = np.array((width, height, width, height), np.float32)
        inside = np.clip(boxes / np.float32(letterbox_scale(size_hw, self._input_hw)), 0, limits)
        has_area = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
        return Detections(inside, scores).select(has_area & (scores > 0) & (scores >= self._lowest_score))


def _own(slot: ImageSlot) -> Slot:
    if not isinstance(slot, Slot):
        raise TypeError(f"{slot!r} was not acquired from a TritonDetector")
    return slot
