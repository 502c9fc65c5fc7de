"""Runs ``model.onnx`` with ONNX Runtime on the CPU inside Triton's Python backend.

The file beside this one is any ONNX model whose first axis is the batch. Inputs and outputs are those of the model's
``config.pbtxt``; its parameter ``intra_op_threads`` says how many threads one instance may use.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the session; raises ``TritonModelException`` when the file does not have the configured tensors."""
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        threads = int(config["parameters"]["intra_op_threads"]["string_value"])
        self._session = _open_session(path, threads)
        self._check(config["name"], path)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Runs all requests as one batch and hands each its own rows."""
        columns = {name: [_read(request, name) for request in requests] for name in self._inputs}
        counts = [len(rows) for rows in columns[self._inputs[0]]]
        try:
            feeds = {name: rows[0] if len(rows) == 1 else np.concatenate(rows) for name, rows in columns.items()}
            results = self._session.run(self._outputs, feeds)
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            failure = pb_utils.TritonError(f"{type(error).__name__}: {error}")
            return [pb_utils.InferenceResponse(error=failure) for _ in requests]
        bounds = np.cumsum(counts)[:-1]
        pieces = zip(*(np.split(result, bounds) for result in results), strict=True)
        return [self._response(rows) for rows in pieces]

    def finalize(self) -> None:
        """Frees the session."""
        del self._session

    def _check(self, name: str, path: Path) -> None:
        have = {tensor.name for tensor in (*self._session.get_inputs(), *self._session.get_outputs())}
        missing = sorted({*self._inputs, *self._outputs} - have)
        if missing:
            raise pb_utils.TritonModelException(f"{name}: {path} has no tensor {', '.join(missing)}")

    def _response(self, rows: tuple[np.ndarray, ...]) -> pb_utils.InferenceResponse:
        named = zip(self._outputs, rows, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(part)) for name, part in named])


def _read(request: pb_utils.InferenceRequest, name: str) -> np.ndarray:
    array: np.ndarray = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
