"""A Re-ID network from a file of weights, whichever of the known architectures it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from export import clip_reid, osnet
from export.architectures import EMBEDDERS, UnknownArchitectureError, build_embedder
from export.clip_reid import Neck
from export.weights import WeightsError, fill, read_weights

ARCHITECTURES = (*EMBEDDERS, clip_reid.ARCHITECTURE, *osnet.NAMES)


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """What a checkpoint leaves open; both are CLIP-ReID's."""

    neck: Neck = Neck.AFTER
    camera: int | None = None
    """Row of the side information; the mean of all rows when ``None``."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """A network and the name under which its models go."""

    name: str
    network: nn.Module
    """RGB in 0..1 [M, 3, 256, 128] -> features [M, D], not yet normalised; in evaluation mode."""


def load_embedder(path: Path, architecture: str | None = None, options: EmbedderOptions | None = None) -> Embedder:
    """Reads a safetensors file or a PyTorch checkpoint; its names say which architecture it is, unless that is given.

    Raises ``UnknownArchitectureError``, ``WeightsError``, ``FileNotFoundError``.
    """
    if architecture not in (None, *ARCHITECTURES):
        raise UnknownArchitectureError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    tensors, chosen = read_weights(path), options or EmbedderOptions()
    name = architecture or _architecture_of(tensors, path)
    if name != clip_reid.ARCHITECTURE and chosen != EmbedderOptions():
        raise WeightsError(f"{path}: {name} has neither a neck nor side information to choose from")
    network = _build(name, tensors, path, chosen)
    suffix = "_before_neck" if chosen.neck is Neck.BEFORE else ""
    return Embedder(name + suffix, network.eval())


def _build(name: str, tensors: Mapping[str, Tensor], path: Path, options: EmbedderOptions) -> nn.Module:
    if name == clip_reid.ARCHITECTURE:
        return clip_reid.load_clip_reid(tensors, path, options.neck, options.camera)
    if name in osnet.NAMES:
        return osnet.load_osnet(name, tensors, path)
    network = build_embedder(name)
    fill(network, tensors, path)
    return network


def _architecture_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    if any(name.startswith("image_encoder.transformer.") for name in tensors):
        return clip_reid.ARCHITECTURE
    if osnet.STEM in tensors:
        return osnet.osnet_name(tensors, path)
    for name in EMBEDDERS:
        if set(build_embedder(name).state_dict()) == set(tensors):
            return name
    first = ", ".join(sorted(tensors)[:3])
    raise UnknownArchitectureError(f"{path}: its names ({first}, ...) belong to none of {', '.join(ARCHITECTURES)}")
