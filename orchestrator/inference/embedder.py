"""Re-ID embeddings of people cut from source pixels, made by Triton."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from orchestrator.errors import ModelReplacedError
from orchestrator.inference.contract import CROP_HW, REID_INPUT, REID_OUTPUTS, ModelInfo, embedding_dimension
from orchestrator.inference.protocols import ModelId
from orchestrator.inference.slots import Slot, SlotPool
from orchestrator.inference.triton import TritonClient
from orchestrator.scaling import resize_into
from orchestrator.settings import Settings
from orchestrator.values import Float32, Frame, UInt8

Crop = tuple[Frame, Float32]
"""A frame and one box [4] in it."""


class TritonEmbedder:
    """See ``Embedder``; made by ``open``."""

    def __init__(self, client: TritonClient, info: ModelInfo, slots: Sequence[Slot]) -> None:
        self._client = client
        self._info = info
        self._dimension = embedding_dimension(info)
        self._pool = SlotPool(slots)

    @classmethod
    async def open(cls, client: TritonClient, settings: Settings) -> TritonEmbedder:
        """Checks the model and makes room for ``ticks_in_flight`` requests of its ``max_batch_size``.

        Raises:
            ModelContractError: the model is missing or does not fit the contract.
            InferenceError: the server cannot be reached, or shared memory is demanded and cannot be had.
        """
        info = await client.describe(settings.reid_model)
        embedding_dimension(info)
        slots = await client.allocate(settings.ticks_in_flight, (info.max_batch_size, *CROP_HW, 3))
        return cls(client, info, slots)

    @property
    def dimension(self) -> int:
        """Values in an embedding."""
        return self._dimension

    @property
    def model(self) -> ModelId:
        """Which weights answer."""
        return self._info.model_id

    async def embed(self, frames: Sequence[Frame], boxes: Sequence[Float32]) -> list[Float32]:
        """See ``Embedder``; the crops of all frames share requests, and none are sent where there are no boxes.

        Where the server has taken another version meanwhile, this fails once; ``model`` is then the new one.
        """
        crops = [(frame, box) for frame, rows in zip(frames, boxes, strict=True) for box in rows]
        step = self._info.max_batch_size
        parts = await asyncio.gather(
            *(self._embed(crops[start : start + step]) for start in range(0, len(crops), step))
        )
        rows = np.concatenate([np.zeros((0, self._dimension), np.float32), *parts])
        ends = np.cumsum([len(boxes_of_frame) for boxes_of_frame in boxes], dtype=np.int64)
        return [rows[end - len(boxes_of_frame) : end] for end, boxes_of_frame in zip(ends, boxes, strict=True)]

    async def _embed(self, crops: Sequence[Crop]) -> Float32:
        slot = await self._pool.acquire()
        try:
            await _to_its_end(asyncio.to_thread(_cut, crops, slot.images))
            version, rows = self.model.version, range(len(crops))
            answer = await self._client.infer(self._info, REID_INPUT, slot, rows, REID_OUTPUTS, of_version=version)
            return answer[0]
        except ModelReplacedError:
            await self._look_anew()
            raise
        finally:
            self._pool.release(slot)

    async def _look_anew(self) -> None:
        """Reads what the server says of the model now; requests become no larger than there is room for."""
        info = await self._client.describe(self._info.name)
        self._dimension = embedding_dimension(info)
        self._info = replace(info, max_batch_size=min(info.max_batch_size, self._info.max_batch_size))


async def _to_its_end(call: Coroutine[Any, Any, None]) -> None:
    """Waits for a thread even when cancelled: it writes to memory that the next request will use."""
    running = asyncio.ensure_future(call)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _cut(crops: Sequence[Crop], images: UInt8) -> None:
    for (frame, box), image in zip(crops, images, strict=False):
        resize_into(_pixels_of(frame, box), image)


def _pixels_of(frame: Frame, box: Float32) -> UInt8:
    """The whole pixels that a box touches, at least one."""
    height, width = frame.size_hw
    left, top = (min(max(math.floor(low), 0), size - 1) for low, size in zip(box[:2], (width, height), strict=True))
    right, bottom = max(math.ceil(box[2]), left + 1), max(math.ceil(box[3]), top + 1)
    return frame.pixels[top:bottom, left:right]
