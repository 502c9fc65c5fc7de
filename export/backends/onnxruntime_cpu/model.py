"""Runs ``model.onnx`` with ONNX Runtime on the CPU inside Triton's Python backend.

The file beside this one is any ONNX model whose first axis is the batch. Inputs and outputs are those of the model's
``config.pbtxt``. Of its parameters, ``intra_op_threads`` says how many threads one instance may use, and
``rows_per_run`` how many rows it computes at once: what a layer hands to the next should stay in the core's cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        self._rows_per_run = _number(config, "rows_per_run")
        self._session = _open_session(path, _number(config, "intra_op_threads"))
        self._check(config["name"], path)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answers each request by itself, so that one that fails takes no other with it."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Frees the session."""
        del self._session

    def _check(self, name: str, path: Path) -> None:
        have = {tensor.name for tensor in (*self._session.get_inputs(), *self._session.get_outputs())}
        missing = sorted({*self._inputs, *self._outputs} - have)
        if missing:
            raise pb_utils.TritonModelException(f"{name}: {path} has no tensor {', '.join(missing)}")

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        try:
            results = self._run({name: _read(request, name) for name in self._inputs})
            named = zip(self._outputs, results, strict=True)
            return pb_utils.InferenceResponse([pb_utils.Tensor(name, result) for name, result in named])
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{type(error).__name__}: {error}"))

    def _run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for all rows of one request."""
        starts = range(0, max(1, len(feeds[self._inputs[0]])), self._rows_per_run)
        parts = [
            self._session.run(self._outputs, {name: rows[at : at + self._rows_per_run] for name, rows in feeds.items()})
            for at in starts
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _read(request: pb_utils.InferenceRequest, name: str) -> np.ndarray:
    array: np.ndarray = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _number(config: dict[str, Any], parameter: str) -> int:
    return int(config["parameters"][parameter]["string_value"])


def _open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # with a number of rows that varies, every plan is made and thrown away
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
