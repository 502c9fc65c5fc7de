"""A running Triton as an export sees it: what it serves, its answers, and the order to load a version."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException, shared_memory

from export.precision import Precision

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

CALL_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 600.0
"""A large model may have to warm up every batch size before it counts as loaded."""
UNREGISTER_TIMEOUT_S = 2.0
UNREGISTER_POLL_S = 0.01
_CHANNEL = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class ServerError(ValueError):
    """The server cannot be reached, is too slow, or refuses; says which server, what was asked and why not."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server says of one model."""

    name: str
    version: str
    """The newest that it serves."""
    model_id: str
    input_name: str
    input_shape: tuple[int, ...]
    """Without the batch."""
    outputs: dict[str, tuple[int, ...]]
    """Shapes by name, without the batch."""
    batches: tuple[int, ...]
    """Batch sizes that it was warmed up with."""
    precision: Precision = Precision.FP32
    """FP32 where it does not say."""

    def __str__(self) -> str:
        outputs = ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())
        return f"{self.name} version {self.version}, {self.input_name} {list(self.input_shape)} to {outputs}"


class Server:
    """One Triton by gRPC; every call has a deadline. Use as a context manager."""

    def __init__(self, address: str, timeout_s: float = CALL_TIMEOUT_S, *, share_memory: bool = False) -> None:
        """``address`` is host:port; ``share_memory`` sends inputs through ``/dev/shm``, which both must see."""
        self.address = address
        self._timeout_s = timeout_s
        self._share_memory = share_memory
        self._client = InferenceServerClient(address, channel_args=_CHANNEL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def describe(self, name: str) -> ServedModel:
        """Raises ``ServerError`` where the model is not there."""
        with self._saying(f"model {name}"):
            metadata = self._client.get_model_metadata(name, client_timeout=self._timeout_s)
            config = self._client.get_model_config(name, client_timeout=self._timeout_s).config
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        return ServedModel(
            name,
            max(metadata.versions, key=int),
            parameters.get("model_id", name),
            metadata.inputs[0].name,
            tuple(metadata.inputs[0].shape[1:]),
            {output.name: tuple(output.shape[1:]) for output in metadata.outputs},
            tuple(sorted({entry.batch_size for entry in config.model_warmup})) or (1,),
            Precision(parameters.get("precision", Precision.FP32)),
        )

    def infer(self, model: ServedModel, rows: UInt8) -> dict[str, Float32]:
        """Outputs by name for a batch of inputs [N, ...]; raises ``ServerError``."""
        with self._saying(f"model {model.name}, {len(rows)} rows"), self._input(model, rows) as tensor:
            answer = self._client.infer(
                model.name,
                [tensor],
                outputs=[InferRequestedOutput(name) for name in model.outputs],
                client_timeout=self._timeout_s,
            )
            return {name: np.array(answer.as_numpy(name)) for name in model.outputs}

    def load(self, name: str, version: int) -> None:
        """Has the server serve what the repository now holds of a model; returns once ``version`` is what answers.

        The version before answers until this one is ready. Raises ``ServerError`` where the new one does not load, with
        the version before still served, and where the server was not started with ``--model-control-mode=explicit``.
        """
        with self._saying(f"loading {name} version {version}"):
            self._client.load_model(name, client_timeout=LOAD_TIMEOUT_S)
            ready = self._client.is_model_ready(name, str(version), client_timeout=self._timeout_s)
        if not ready:
            raise ServerError(f"Triton at {self.address}: {name} version {version} is not what it serves")

    def load_files(self, name: str, version: int, config: str, files: Mapping[str, bytes]) -> None:
        """Has the server serve a model that no repository holds: its ``config.pbtxt`` and the files of its version.

        Raises ``ServerError`` as ``load`` does.
        """
        parsed = text_format.Parse(config, ModelConfig())
        given = {f"file:{version}/{file}": content for file, content in files.items()}
        with self._saying(f"loading {name}"):
            as_json = json_format.MessageToJson(parsed, preserving_proto_field_name=True)
            self._client.load_model(name, config=as_json, files=given, client_timeout=LOAD_TIMEOUT_S)

    def unload(self, name: str) -> None:
        """Has the server forget a model, if it is there to do so."""
        with suppress(InferenceServerException):
            self._client.unload_model(name, client_timeout=self._timeout_s)

    @contextmanager
    def _saying(self, what: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            said = " ".join(str(error.message()).split())
            raise ServerError(f"Triton at {self.address}, {what}: {said}") from error

    @contextmanager
    def _input(self, model: ServedModel, rows: UInt8) -> Iterator[Any]:
        tensor = InferInput(model.input_name, list(rows.shape), "UINT8")
        if not self._share_memory:
            tensor.set_data_from_numpy(rows)
            yield tensor
            return
        name = f"spoton-export-{secrets.token_hex(6)}"
        region = shared_memory.create_shared_memory_region(name, f"/{name}", rows.nbytes)
        try:
            shared_memory.set_shared_memory_region(region, [rows])
            self._client.register_system_shared_memory(name, f"/{name}", rows.nbytes, client_timeout=self._timeout_s)
            tensor.set_shared_memory(name, rows.nbytes)
            try:
                yield tensor
            finally:
                self._unregister(name)
        finally:
            shared_memory.destroy_shared_memory_region(region)

    def _unregister(self, name: str) -> None:
        """Makes the server forget a region; it refuses for a moment after the answer, and while it still works."""
        deadline = time.monotonic() + UNREGISTER_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                self._client.unregister_system_shared_memory(name, client_timeout=UNREGISTER_TIMEOUT_S)
            except InferenceServerException:
                time.sleep(UNREGISTER_POLL_S)
            else:
                return
