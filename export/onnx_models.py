"""The two exports as functions of files: weights in, ONNX out. The demo and the command line call these."""

from __future__ import annotations

from pathlib import Path

from export.architectures import build_detector, build_embedder
from export.detector import export_detector
from export.onnx_file import ModelSource, digest_of
from export.reid import export_reid
from export.weights import load_weights


def export_detector_file(architecture: str, weights: Path, out: Path, *, height: int, width: int) -> ModelSource:
    """Builds the detector, fills it from a safetensors file and writes ``out``; returns what it was made from.

    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``; ``ValueError`` for an unfit size.
    """
    model = build_detector(architecture, height=height, width=width)
    load_weights(model, weights)
    source = ModelSource(architecture, digest_of(model))
    export_detector(model, out, height=height, width=width, source=source)
    return source


def export_reid_file(architecture: str, weights: Path, out: Path) -> ModelSource:
    """Builds the embedder, fills it from a safetensors file and writes ``out``; returns what it was made from.

    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``.
    """
    network = build_embedder(architecture)
    load_weights(network, weights)
    source = ModelSource(architecture, digest_of(network))
    export_reid(network, out, source=source)
    return source
