"""A detector with weights: torchvision's published ones by their name, or those of a file.

Published files are downloaded once, into torch's own cache (``TORCH_HOME``), and read like any other: tensors only.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models.detection import FasterRCNN

from export.architectures import TORCHVISION_DETECTORS, build_detector, check_detector
from export.detector import check_size
from export.weights import WeightsError, fill, read_weights

DOWNLOAD_TIMEOUT_S = 30.0
"""Without a byte for so long a download has failed."""
CLASS_BIAS = "roi_heads.box_predictor.cls_score.bias"
LEAST_CLASSES = 2
"""Background and person."""
FILE_SUFFIXES = (".pt", ".pth", ".safetensors", ".tar")
NEWER_NAMES = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.(weight|bias)$"), r"\1.0.0.\2"),
)
"""What torchvision's modules rename in checkpoints that are older than they are."""
WITHOUT_EPSILON = "fasterrcnn_resnet50_fpn"
"""Published with a normalisation that adds nothing to the variance; torchvision knows it by the name ``COCO_V1``."""


@dataclass(frozen=True, slots=True)
class Published:
    """One of torchvision's files of weights."""

    name: str
    url: str

    @property
    def file_name(self) -> str:
        """As it is called in torch's cache."""
        return Path(urlsplit(self.url).path).name

    @property
    def hash_prefix(self) -> str:
        """The first digits of the file's SHA-256, which torchvision writes into its name."""
        return self.file_name.rpartition("-")[2].partition(".")[0]


def load_detector(architecture: str, weights: str, height: int, width: int) -> FasterRCNN:
    """The detector of that name, filled, for pictures of ``height`` x ``width``, which it does not resize.

    ``weights`` is a name that torchvision gives (``COCO_V1``) or a file. The network gets as many classes as its
    weights have; people are class 1.
    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``; ``ValueError`` for an unfit size.
    """
    check_size(height, width)
    check_detector(architecture)
    path = _file_of(architecture, weights)
    tensors = {_newer(name): tensor for name, tensor in read_weights(path).items()}
    model = build_detector(architecture, _number_of_classes(tensors, path), height=height, width=width)
    fill(model, tensors, path)
    if architecture == WITHOUT_EPSILON and _is_published(path, architecture):
        _add_nothing_to_variances(model)
    return model.eval()


def published(architecture: str) -> dict[str, Published]:
    """What torchvision publishes for an architecture, by its names; nothing for those that it does not know."""
    if architecture not in TORCHVISION_DETECTORS:
        return {}
    known: Any = get_model_weights(architecture)
    return {member.name: Published(member.name, member.value.url) for member in known}


def _file_of(architecture: str, weights: str) -> Path:
    known = published(architecture)
    if weights in known:
        return _download(known[weights])
    path = Path(weights)
    if not path.exists() and path.suffix not in FILE_SUFFIXES:
        names = ", ".join(known) or "none"
        raise WeightsError(f"{weights}: neither a file nor among the published weights of {architecture}: {names}")
    return path


def _download(chosen: Published) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / chosen.file_name
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _socket_timeout(DOWNLOAD_TIMEOUT_S):
            torch.hub.download_url_to_file(chosen.url, str(path), chosen.hash_prefix)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{chosen.name}: no download from {chosen.url} to {path}: {error}") from error
    return path


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A deadline for whatever is opened inside: torch's downloads take none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _newer(name: str) -> str:
    for pattern, replacement in NEWER_NAMES:
        name = pattern.sub(replacement, name)
    return name


def _number_of_classes(tensors: Mapping[str, Tensor], path: Path) -> int:
    bias = tensors.get(CLASS_BIAS)
    if bias is None:
        raise WeightsError(f"{path}: missing {CLASS_BIAS}: no Faster R-CNN")
    if bias.ndim != 1 or len(bias) < LEAST_CLASSES:
        raise WeightsError(f"{path}: {CLASS_BIAS} {tuple(bias.shape)} is no background and a person")
    return len(bias)


def _is_published(path: Path, architecture: str) -> bool:
    """Whether a file is one of torchvision's, wherever it lies."""
    return any(_digest(path).startswith(known.hash_prefix) for known in published(architecture).values())


def _add_nothing_to_variances(model: FasterRCNN) -> None:
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
