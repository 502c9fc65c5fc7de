"""ONNX Runtime on the CPU, as the figures of the model card are taken."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

TIMED_RUNS = 20


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session of ``threads`` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def milliseconds_a_row(path: Path, rows: NDArray[np.uint8]) -> float:
    """Median time for one of ``rows``, the model's only input, computed together with two threads."""
    session = open_session(path, threads=2)
    feed = {session.get_inputs()[0].name: rows}
    session.run(None, feed)
    taken = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        session.run(None, feed)
        taken.append(time.perf_counter() - began)
    return float(1000 * np.median(taken) / len(rows))
