"""CLIP-ReID's image encoder, filled from the checkpoints that its authors and BoxMOT publish.

CLIP's ViT-B/16 with two necks (Li, Sun and Li, "CLIP-ReID", AAAI 2023): the class token after the last block, 768
values, and its projection into CLIP's space, 512, each through a batch normalisation of its own. Of the last block only
the class token is used, so only that is computed: some 7 % less work for the same values.

Checkpoints with side information (one vector a training camera, added to the class token) come with overlapping
patches, stride 12. A camera that the network has never seen has no vector: it gets the mean of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.weights import WeightsError, fill

ARCHITECTURE = "clip_reid_vit_b16"
SIZE_HW = (256, 128)
PATCH = 16
WIDTH = 768
PROJECTED = 512
STRIDES: Mapping[int, int] = MappingProxyType({129: 16, 211: 12})
"""Number of positions, class token included, to the stride of the patches at 256x128."""
SIDE_INFORMATION = "cv_embed"
SIDE_INFORMATION_WEIGHT = 1.0
"""``MODEL.SIE_COE`` of the published trainings."""
TRAINING_ONLY = ("classifier.", "classifier_proj.", "prompt_learner.", "text_encoder.")

RENAMED = (
    ("encoder.", "image_encoder."),
    (".cls_token", ".class_embedding"),
    (".pos_embed", ".positional_embedding"),
    (".patch_embed.proj.", ".conv1."),
    (".norm_pre.", ".ln_pre."),
    (".norm.", ".ln_post."),
    (".blocks.", ".transformer.resblocks."),
    (".norm1.", ".ln_1."),
    (".norm2.", ".ln_2."),
    (".attn.qkv.", ".attn.in_proj_"),
    (".attn.proj.", ".attn.out_proj."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    ("projection.weight", "image_encoder.proj"),
)
"""From the names of timm's ViT to CLIP's, applied in this order."""


class Neck(StrEnum):
    """Which side of the batch normalisations the features are taken from."""

    AFTER = "after"
    BEFORE = "before"


class ClipReid(nn.Module):
    """RGB in 0..1 [M, 3, 256, 128] -> features [M, 1280], not yet normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, stride: int = PATCH, neck: Neck = Neck.AFTER) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5), persistent=False)
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.5), persistent=False)
        self.encoder: Any = _vision_transformer(stride)
        self.projection = nn.Linear(WIDTH, PROJECTED, bias=False)
        self.bottleneck = nn.BatchNorm1d(WIDTH)
        self.bottleneck_proj = nn.BatchNorm1d(PROJECTED)
        self.neck = neck

    def forward(self, crops: Tensor) -> Tensor:
        """RGB in 0..1 [M, 3, 256, 128] -> [M, 1280]: the class token's 768 values and their 512 projected ones."""
        encoder = self.encoder
        tokens = encoder.norm_pre(encoder._pos_embed(encoder.patch_embed((crops - self.mean) / self.std)))
        token = encoder.norm(self._last_block(encoder.blocks[:-1](tokens)))
        projected = self.projection(token)
        if self.neck is Neck.AFTER:
            token, projected = self.bottleneck(token), self.bottleneck_proj(projected)
        return torch.cat([token, projected], dim=1)

    def _last_block(self, tokens: Tensor) -> Tensor:
        """[M, T, 768] -> the class token after the last block [M, 768]."""
        block = self.encoder.blocks[-1]
        attention = block.attn
        normal = block.norm1(tokens)
        weight, bias = attention.qkv.weight, attention.qkv.bias
        query = functional.linear(normal[:, :1], weight[:WIDTH], bias[:WIDTH])
        key, value = functional.linear(normal, weight[WIDTH:], bias[WIDTH:]).chunk(2, dim=-1)
        heads = [part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in (query, key, value)]
        attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        token = tokens[:, :1] + attention.proj(attended)
        last: Tensor = token + block.mlp(block.norm2(token))
        return last[:, 0]


def load_clip_reid(tensors: Mapping[str, Tensor], path: Path, neck: Neck, camera: int | None = None) -> ClipReid:
    """The network of a checkpoint read from ``path``, with the side information of one training ``camera`` or the mean.

    Raises ``WeightsError`` for a checkpoint that does not fit, and for a camera that it does not have.
    """
    positions = tensors.get("image_encoder.positional_embedding", torch.empty(0)).shape[0]
    if positions not in STRIDES:
        known = " or ".join(map(str, STRIDES))
        raise WeightsError(f"{path}: image_encoder.positional_embedding has {positions} rows; at 256x128 {known} fit")
    model = ClipReid(STRIDES[positions], neck)
    fill(model, _laid_out(tensors, path, camera), path, _published)
    return model


def _vision_transformer(stride: int) -> Any:
    name = "vit_base_patch16_clip_quickgelu_224"
    encoder: Any = timm.create_model(name, pretrained=False, img_size=SIZE_HW, num_classes=0, weight_init="skip")
    encoder.patch_embed.proj.stride = (stride, stride)
    rows, columns = ((side - PATCH) // stride + 1 for side in SIZE_HW)
    encoder.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * columns, WIDTH))
    return encoder


def _published(name: str) -> str:
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    return name


def _laid_out(tensors: Mapping[str, Tensor], path: Path, camera: int | None) -> dict[str, Tensor]:
    """Without what only training needs, in timm's layout, the side information added to the class token."""
    kept = {name: tensor.float() for name, tensor in tensors.items() if not name.startswith(TRAINING_ONLY)}
    side = _side_information(kept.pop(SIDE_INFORMATION, None), path, camera)
    layouts: dict[str, Callable[[Tensor], Tensor]] = {
        "image_encoder.class_embedding": lambda token: (token + side).view(1, 1, -1),
        "image_encoder.positional_embedding": lambda positions: positions.unsqueeze(0),
        "image_encoder.proj": lambda projection: projection.T,
    }
    for name in layouts.keys() & kept.keys():
        kept[name] = layouts[name](kept[name])
    return kept


def _side_information(embeddings: Tensor | None, path: Path, camera: int | None) -> Tensor:
    if embeddings is None:
        if camera is not None:
            raise WeightsError(f"{path}: no side information ({SIDE_INFORMATION}), so no camera {camera}")
        return torch.zeros(WIDTH)
    if embeddings.ndim != 2 or embeddings.shape[1] != WIDTH:
        raise WeightsError(f"{path}: {SIDE_INFORMATION} is {tuple(embeddings.shape)}, not (cameras, {WIDTH})")
    if camera is None:
        return SIDE_INFORMATION_WEIGHT * embeddings.mean(dim=0)
    if not 0 <= camera < len(embeddings):
        raise WeightsError(f"{path}: no camera {camera} among the {len(embeddings)} of {SIDE_INFORMATION}")
    return SIDE_INFORMATION_WEIGHT * embeddings[camera]
