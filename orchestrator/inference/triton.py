"""The connection to Triton: calls with deadlines, readiness, shared memory, and recovery from a restarted server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from orchestrator.errors import InferenceError, ModelContractError, ModelReplacedError
from orchestrator.inference.contract import ModelInfo, Tensor, model_info
from orchestrator.inference.slots import Region, Slot, sweep_abandoned
from orchestrator.settings import Settings
from orchestrator.values import Float32

_LOG = logging.getLogger(__name__)
_POLL_S: Final = 0.2
_PROBE_TIMEOUT_S: Final = 2.0
_IN_USE_POLL_S: Final = 0.02
_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_LOST: Final = ("StatusCode.UNAVAILABLE",)
_UNKNOWN_REGION: Final = "unable to find shared memory region"


class TritonClient:
    """One gRPC channel to one server, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.triton_url
        self._timeout_s = settings.triton_timeout_s
        self._start_timeout_s = settings.triton_start_timeout_s
        self._sharing = settings.triton_shared_memory
        self._prefix = settings.shm_prefix
        self._models = (settings.detector_model, settings.reid_model)
        self._client = InferenceServerClient(settings.triton_url, channel_args=list(_CHANNEL))
        self._regions: list[Region] = []
        self._recovery = asyncio.Lock()
        self._recoveries = 0

    @property
    def shares_memory(self) -> bool:
        """True where pixels reach the server without being copied."""
        return any(region.is_shared for region in self._regions)

    async def connect(self) -> None:
        """Waits until the server and its models are ready, and removes what killed processes left in shared memory.

        Raises:
            InferenceError: not ready within ``triton_start_timeout_s``.
        """
        await self._wait_until_ready(self._start_timeout_s)
        for name in sweep_abandoned(self._prefix):
            _LOG.info("removing abandoned shared memory %s", name)
            await self._unregister(name)

    async def describe(self, model: str) -> ModelInfo:
        """What the server says of a model.

        Raises:
            ModelContractError: the server has no such model, or it failed to load.
            InferenceError: the server cannot be reached.
        """
        try:
            metadata = await self._client.get_model_metadata(model, client_timeout=self._timeout_s)
            answer = await self._client.get_model_config(model, client_timeout=self._timeout_s)
        except InferenceServerException as error:
            if error.status() in _LOST or _is_timeout(error):
                raise self._failure(error, f"reading the description of model {model!r}") from error
            raise ModelContractError(
                f"Triton at {self._url} does not serve model {model!r}: {error.message()}"
            ) from error
        return model_info(metadata, answer.config)

    async def allocate(self, count: int, shape: tuple[int, int, int, int]) -> list[Slot]:
        """``count`` slots of images [N, H, W, 3], in shared memory where settings and server allow it.

        Raises:
            InferenceError: shared memory is demanded and cannot be had.
        """
        size = int(np.prod(shape))
        regions = [await self._allocate(size) for _ in range(count)]
        return [Slot(region, shape) for region in regions]

    async def infer(
        self,
        model: ModelInfo,
        tensor: Tensor,
        slot: Slot,
        rows: range,
        outputs: Sequence[Tensor],
        *,
        of_version: str | None = None,
    ) -> list[Float32]:
        """Runs a model on consecutive rows of a slot; returns its outputs in the order asked for.

        A server that was restarted meanwhile is waited for, told of the shared memory again, and asked once more.

        Raises:
            InferenceError: names model and server.
            ModelReplacedError: another version of the model than ``of_version`` answered, where one is named.
            ModelContractError: an output is missing or not of the declared shape.
        """
        recoveries = self._recoveries
        try:
            result = await self._ask(model, tensor, slot, rows, outputs)
        except InferenceServerException as error:
            if not _is_restart(error):
                raise self._failure(error, f"model {model.name!r}") from error
            await self._recover(recoveries)
            try:
                result = await self._ask(model, tensor, slot, rows, outputs)
            except InferenceServerException as again:
                raise self._failure(again, f"model {model.name!r}") from again
        answered = result.get_response().model_version
        if of_version not in {None, answered}:
            raise ModelReplacedError(
                f"Triton at {self._url}: version {answered} of {model.name!r} is in the place of version {of_version}"
            )
        return [_output(model, result, output, len(rows)) for output in outputs]

    async def close(self) -> None:
        """Frees shared memory here and on the server, then the channel; harmless when repeated."""
        names = [region.name for region in self._regions if region.is_shared]
        for region in self._regions:
            region.close()
        self._regions.clear()
        try:
            await asyncio.gather(*(self._unregister(name) for name in names))
        finally:
            await self._client.close()

    async def _allocate(self, size: int) -> Region:
        region = Region.private(size) if self._sharing == "off" else await self._share(size)
        self._regions.append(region)
        return region

    async def _share(self, size: int) -> Region:
        """A registered shared region; a private one where sharing is optional and does not work."""
        region = None
        try:
            region = Region.shared(self._prefix, size)
            await self._register(region)
        except (InferenceError, InferenceServerException) as error:
            if region is not None:
                region.close()
            problem = error if isinstance(error, InferenceError) else self._failure(error, "sharing memory")
            if self._sharing == "on":
                raise problem from error
            _LOG.warning("pixels travel over the wire: %s", problem)
            self._sharing = "off"
            return Region.private(size)
        except BaseException:
            if region is not None:
                region.close()
            raise
        return region

    async def _register(self, region: Region) -> None:
        await self._client.register_system_shared_memory(
            region.name, f"/{region.name}", region.data.nbytes, client_timeout=self._timeout_s
        )

    async def _unregister(self, name: str) -> None:
        """Makes the server forget a region; it refuses while a request, cancelled or not, still reads from it."""
        deadline = time.monotonic() + _PROBE_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                await self._client.unregister_system_shared_memory(name, client_timeout=_PROBE_TIMEOUT_S)
            except InferenceServerException as error:
                if error.status() in _LOST:
                    return
                _LOG.debug("shared memory %s is not given back yet: %s", name, error.message())
                await asyncio.sleep(_IN_USE_POLL_S)
            else:
                return

    async def _ask(self, model: ModelInfo, tensor: Tensor, slot: Slot, rows: range, outputs: Sequence[Tensor]) -> Any:
        images = slot.images[rows.start : rows.stop]
        request = InferInput(tensor.name, list(images.shape), tensor.datatype)
        if slot.region.is_shared:
            request.set_shared_memory(slot.region.name, images.nbytes, rows.start * slot.row_bytes)
        else:
            request.set_data_from_numpy(images)
        return await self._client.infer(
            model.name,
            [request],
            outputs=[InferRequestedOutput(output.name) for output in outputs],
            client_timeout=self._timeout_s,
        )

    async def _recover(self, recoveries: int) -> None:
        """Once for all requests that failed together: waits for the server and registers the regions it has lost."""
        async with self._recovery:
            if self._recoveries != recoveries:
                return
            _LOG.warning("Triton at %s was lost or restarted; waiting for it", self._url)
            await self._wait_until_ready(self._timeout_s)
            try:
                status = await self._client.get_system_shared_memory_status(client_timeout=self._timeout_s)
                for region in self._regions:
                    if region.is_shared and region.name not in status.regions:
                        await self._register(region)
            except InferenceServerException as error:
                raise self._failure(error, "sharing memory again") from error
            self._recoveries += 1

    async def _wait_until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not await self._is_ready():
            if time.monotonic() > deadline:
                raise InferenceError(f"Triton at {self._url} was not ready within {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)

    async def _is_ready(self) -> bool:
        """Triton calls itself unready for good after any model that failed to load, while others go on answering."""
        try:
            if await self._client.is_server_ready(client_timeout=_PROBE_TIMEOUT_S):
                return True
            asked = [self._client.is_model_ready(name, client_timeout=_PROBE_TIMEOUT_S) for name in self._models]
            return all(await asyncio.gather(*asked))
        except InferenceServerException:
            return False

    def _failure(self, error: InferenceServerException, doing: str) -> InferenceError:
        where = f"Triton at {self._url}, {doing}"
        if error.status() in _LOST:
            return InferenceError(f"{where}: the server cannot be reached")
        if _is_timeout(error):
            return InferenceError(f"{where}: no answer within {self._timeout_s:g} s")
        return InferenceError(f"{where}: {str(error.message()).splitlines()[0]}")


def _is_timeout(error: InferenceServerException) -> bool:
    return bool(error.status() == "StatusCode.DEADLINE_EXCEEDED")


def _is_restart(error: InferenceServerException) -> bool:
    return error.status() in _LOST or _UNKNOWN_REGION in str(error.message()).lower()


def _output(model: ModelInfo, result: Any, wanted: Tensor, rows: int) -> Float32:
    values = result.as_numpy(wanted.name)
    declared = model.outputs[wanted.name]
    expected = Tensor(wanted.name, declared.datatype, (rows, *declared.shape[1:]))
    found = "nothing" if values is None else Tensor(wanted.name, declared.datatype, values.shape)
    if not isinstance(found, Tensor) or not expected.fits(found):
        raise ModelContractError(
            f"model {model.name!r} answered output {wanted.name!r} with {found}, it declares {expected}"
        )
    return np.asarray(values, np.float32)
