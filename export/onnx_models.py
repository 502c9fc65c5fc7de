"""The two exports as functions of files: weights in, ONNX out. The demo and the command line call these."""

from __future__ import annotations

from pathlib import Path

from export.detector import export_detector
from export.detectors import load_detector
from export.embedders import EmbedderOptions, load_embedder
from export.onnx_file import ModelSource, digest_of
from export.precision import Precision
from export.reid import export_reid


def export_detector_file(
    architecture: str,
    weights: Path | str,
    out: Path,
    *,
    height: int,
    width: int,
    precision: Precision = Precision.FP32,
) -> ModelSource:
    """Builds the detector, fills it from a file or torchvision's published weights and writes ``out``.

    Returns what it was made from.
    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``; ``ValueError`` for an unfit size.
    """
    model = load_detector(architecture, str(weights), height, width)
    source = ModelSource(architecture, digest_of(model), precision)
    export_detector(model, out, height=height, width=width, source=source)
    return source


def export_reid_file(
    architecture: str | None,
    weights: Path,
    out: Path,
    options: EmbedderOptions | None = None,
    precision: Precision = Precision.FP32,
) -> ModelSource:
    """Builds the embedder from safetensors or a checkpoint and writes ``out``; returns what it was made from.

    Without an ``architecture`` the names in the file tell it.
    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``.
    """
    embedder = load_embedder(weights, architecture, options)
    source = ModelSource(embedder.name, digest_of(embedder.network), precision)
    export_reid(embedder.network, out, source=source)
    return source
