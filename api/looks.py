"""How a person in a picture looks: the picture decoded within bounds, and embedded by the Re-ID model on Triton."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import numpy as np
from PIL import Image, ImageOps

from api.problems import UnusableRequestError
from orchestrator.inference.contract import CROP_HW, REID_INPUT, REID_OUTPUTS, embedding_dimension
from orchestrator.inference.protocols import ModelId
from orchestrator.inference.slots import Slot
from orchestrator.inference.triton import TritonClient
from orchestrator.scaling import resize_into
from orchestrator.settings import Settings
from orchestrator.values import Float32, UInt8

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 40_000_000
MIN_SIDE = 8


class LookModel:
    """The Re-ID model for pictures that clients send, one at a time."""

    def __init__(self, client: TritonClient, model: str) -> None:
        self._client, self._model = client, model
        self._slot: Slot | None = None
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Speaks to nobody yet; frees the connection at the end."""
        client = TritonClient(settings.model_copy(update={"triton_shared_memory": "off"}))
        try:
            yield cls(client, settings.reid_model)
        finally:
            await client.close()

    async def embed(self, image: bytes) -> tuple[ModelId, Float32]:
        """The look [D] of the person who fills the picture, and which weights say so.

        Raises:
            UnusableRequestError: it is no picture of a supported format, or of no usable size.
            InferenceError: Triton cannot be reached, is too slow, or failed.
            ModelContractError: the model is missing or does not fit the contract.
        """
        pixels = await asyncio.to_thread(_decode, image)
        async with self._turn:
            info = await self._client.describe(self._model)  # each time: another version may be live by now
            embedding_dimension(info)
            if self._slot is None:
                (self._slot,) = await self._client.allocate(1, (1, *CROP_HW, 3))
            await asyncio.to_thread(resize_into, pixels, self._slot.images[0])
            (looks,) = await self._client.infer(info, REID_INPUT, self._slot, range(1), REID_OUTPUTS)
        return info.model_id, looks[0]


def _decode(data: bytes) -> UInt8:
    """[H, W, 3] RGB, upright."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnusableRequestError(f"the image has {image.width}x{image.height} pixels, too many")
            if min(image.size) < MIN_SIDE:
                raise UnusableRequestError(f"the image has {image.width}x{image.height} pixels, too few")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnusableRequestError:
        raise
    except Exception as error:  # damaged files raise whatever their decoder stumbles over
        raise UnusableRequestError(f"the image is no {', '.join(FORMATS)} file that can be read") from error
