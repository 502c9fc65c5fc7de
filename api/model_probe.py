"""Whether each model is there and works: asked of Triton, and tried with one small request of our own.

A model counts as loaded once it has answered that request. Should it be away at any later probe, it has to answer
another one when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from api.health import up, warming
from api.models import Component
from orchestrator.inference.contract import (
    CROP_HW,
    DETECTOR_INPUT,
    DETECTOR_OUTPUTS,
    REID_INPUT,
    REID_OUTPUTS,
    ModelInfo,
    Tensor,
    detector_input_hw,
    embedding_dimension,
)
from orchestrator.inference.slots import Slot
from orchestrator.inference.triton import TritonClient
from orchestrator.settings import Settings

WAIT_S = 1.0
"""How long a probe waits for the answer to a warm-up request; the request itself goes on."""


@dataclass(slots=True)
class _Model:
    name: str
    input: Tensor
    outputs: Sequence[Tensor]
    input_hw: Callable[[ModelInfo], tuple[int, int]]
    """Checks the model against the contract; the size of one image of the request."""
    answered: bool = False
    request: asyncio.Task[None] | None = None
    slot: Slot | None = None


class ModelProbe:
    """Watches the two models."""

    def __init__(self, client: TritonClient, settings: Settings) -> None:
        self._client = client
        self._detector = _Model(settings.detector_model, DETECTOR_INPUT, DETECTOR_OUTPUTS, detector_input_hw)
        self._reid = _Model(settings.reid_model, REID_INPUT, REID_OUTPUTS, _crop_hw)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Speaks to nobody yet; frees the connection at the end."""
        client = TritonClient(settings.model_copy(update={"triton_shared_memory": "off"}))
        probe = cls(client, settings)
        try:
            yield probe
        finally:
            await probe.close()

    async def detector(self) -> Component:
        """The state of the person detector."""
        return await self._state(self._detector)

    async def reid(self) -> Component:
        """The state of the Re-ID model."""
        return await self._state(self._reid)

    async def close(self) -> None:
        """Ends requests that are under way and frees the connection."""
        requests = [model.request for model in (self._detector, self._reid) if model.request is not None]
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await self._client.close()

    async def _state(self, model: _Model) -> Component:
        had_answered, model.answered = model.answered, False
        info = await self._client.describe(model.name)
        model.answered = had_answered or await self._has_answered(model, info)
        return up(str(info.model_id)) if model.answered else warming(f"{info.model_id} has yet to answer a request")

    async def _has_answered(self, model: _Model, info: ModelInfo) -> bool:
        if model.request is None:
            model.request = asyncio.create_task(self._ask(model, info), name=f"warm up {model.name}")
        await asyncio.wait({model.request}, timeout=WAIT_S)
        if not model.request.done():
            return False
        request, model.request = model.request, None
        request.result()
        return True

    async def _ask(self, model: _Model, info: ModelInfo) -> None:
        height, width = model.input_hw(info)
        if model.slot is None or model.slot.images.shape[1:3] != (height, width):
            (model.slot,) = await self._client.allocate(1, (1, height, width, 3))
        await self._client.infer(info, model.input, model.slot, range(1), model.outputs)


def _crop_hw(info: ModelInfo) -> tuple[int, int]:
    embedding_dimension(info)
    return CROP_HW
