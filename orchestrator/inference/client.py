"""Opens inference: connects to Triton, checks both models against the contract, and warms them up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from orchestrator.inference.detector import TritonDetector
from orchestrator.inference.embedder import TritonEmbedder
from orchestrator.inference.protocols import Detector, Embedder
from orchestrator.inference.triton import TritonClient
from orchestrator.settings import Settings
from orchestrator.values import Float32, Frame

__all__ = ["Inference", "TritonClient", "open_inference"]


@dataclass(frozen=True, slots=True)
class Inference:
    """Both models, ready to answer."""

    detector: Detector
    embedder: Embedder


@asynccontextmanager
async def open_inference(settings: Settings, cameras: int) -> AsyncIterator[Inference]:
    """Yields once both models have answered a full-size request; ``cameras`` is the most frames a tick can have.

    Shared memory and connection are given back at the end, also when the caller is cancelled.

    Raises:
        InferenceError: the server is not ready within ``triton_start_timeout_s``, or fails a request.
        ModelContractError: a model is missing or does not fit the contract; names model, tensor, expected and found.
    """
    client = TritonClient(settings)
    try:
        await client.connect()
        detector = await TritonDetector.open(client, settings, cameras)
        embedder = await TritonEmbedder.open(client, settings)
        await asyncio.gather(_warm_up_detector(detector, cameras), _warm_up_embedder(embedder, cameras))
        yield Inference(detector, embedder)
    finally:
        await client.close()


async def _warm_up_detector(detector: TritonDetector, cameras: int) -> None:
    slot = await detector.acquire()
    try:
        slot.images[:] = 0
        await detector.detect(slot, [detector.input_hw] * cameras)
    finally:
        detector.release(slot)


async def _warm_up_embedder(embedder: TritonEmbedder, cameras: int) -> None:
    frame = Frame("warm-up", 0, 0.0, np.zeros((256, 128, 3), np.uint8))
    box: Float32 = np.array([[0, 0, 128, 256]], np.float32)
    await embedder.embed([frame] * cameras, [box] * cameras)
