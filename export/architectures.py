"""The networks that can be exported, built by name and without weights.

Detectors are torchvision ``FasterRCNN`` modules, so that they train and evaluate as torchvision's do; embedders map
normalised crops to features. Pixel statistics are part of a network: a detector carries them in its ``transform``, an
embedder in its buffers ``mean`` and ``std``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from export.csp_pan import CHANNELS, CspPan, LevelHeads

ModuleT = TypeVar("ModuleT", bound=nn.Module)

LITE0 = "tf_efficientnet_lite0"
LITE0_MEAN = (0.5, 0.5, 0.5)
LITE0_STD = (0.5, 0.5, 0.5)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnknownArchitectureError(ValueError):
    """No network has this name; the message lists those that there are."""


class BoxHead(nn.Module):
    """One hidden layer over the pooled features of a proposal."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, width)
        self.fc7 = nn.Linear(width, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """[P, C, h, w] -> [P, width]."""
        hidden = functional.relu(self.fc6(pooled.flatten(start_dim=1)))
        return functional.relu(self.fc7(hidden))


class BoxPredictor(nn.Module):
    """Class logits and one box for each class, as torchvision's ``FastRCNNPredictor`` lays them out."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, num_classes)
        self.bbox_pred = nn.Linear(width, num_classes * 4)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[P, width] -> logits [P, classes], deltas [P, classes * 4]."""
        return self.cls_score(features), self.bbox_pred(features)


def fasterrcnn_csp_pan(
    num_classes: int = 2,
    *,
    height: int = 384,
    width: int = 672,
    head_width: int = 256,
    proposals: int = 128,
    detections: int = 64,
) -> FasterRCNN:
    """A small person detector for CPUs: 5.4 M parameters, anchors in the proportions of people, close ones included."""
    anchors = AnchorGenerator(
        sizes=((18, 30), (46, 70), (100, 150), (210, 300)),
        aspect_ratios=((0.75, 1.4, 2.6),) * 4,
    )
    pool = MultiScaleRoIAlign(["0", "1", "2"], output_size=7, sampling_ratio=2, canonical_scale=112)
    return FasterRCNN(
        CspPan(),
        min_size=height,
        max_size=width,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
        rpn_anchor_generator=anchors,
        rpn_head=LevelHeads(anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=400,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=256,
        rpn_post_nms_top_n_test=proposals,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        box_roi_pool=pool,
        box_head=BoxHead(CHANNELS * 49, head_width),
        box_predictor=BoxPredictor(head_width, num_classes),
        box_detections_per_img=detections,
    )


class Lite0Embedder(nn.Module):
    """The first five stages of EfficientNet-Lite0 at half size: four bands from head to feet, and the whole."""

    BANDS = 4
    STAGES = 5

    mean: Tensor
    std: Tensor

    def __init__(self, dimensions: int = 256) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(LITE0_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(LITE0_STD).view(1, 3, 1, 1), persistent=False)
        body = _lite0(out_indices=(3,))
        del body.blocks[self.STAGES :]
        self.body = body
        channels = body.feature_info.channels()[-1]
        self.project = nn.Linear(channels * (self.BANDS + 1), dimensions, bias=False)
        self.neck = nn.BatchNorm1d(dimensions)
        self.neck.bias.requires_grad = False

    def forward(self, crops: Tensor) -> Tensor:
        """RGB in 0..1, [M, 3, 256, 128] -> features [M, dimensions], not yet normalised."""
        small = functional.avg_pool2d(crops, 2)
        maps = self.body((small - self.mean) / self.std)[0]
        bands = functional.adaptive_avg_pool2d(maps, (self.BANDS, 1)).flatten(1)
        whole = functional.adaptive_max_pool2d(maps, 1).flatten(1)
        features: Tensor = self.neck(self.project(torch.cat([bands, whole], dim=1)))
        return features


TORCHVISION_DETECTORS = (
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)


def _torchvision(name: str) -> Callable[..., FasterRCNN]:
    """Torchvision's builder, for pictures of one size, which the network then does not resize."""

    def build(num_classes: int, *, height: int, width: int, **options: int) -> FasterRCNN:
        sides = {"min_size": min(height, width), "max_size": max(height, width)}
        model: FasterRCNN = get_model(
            name, weights=None, weights_backbone=None, num_classes=num_classes, **sides, **options
        )
        return model

    return build


DETECTORS: Mapping[str, Callable[..., FasterRCNN]] = MappingProxyType(
    {"fasterrcnn_csp_pan": fasterrcnn_csp_pan, **{name: _torchvision(name) for name in TORCHVISION_DETECTORS}}
)
EMBEDDERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType({"lite0_bands": Lite0Embedder})


def build_detector(name: str, num_classes: int = 2, **sizes: int) -> FasterRCNN:
    """The detector ``name`` with random weights; ``sizes`` are those of its builder (``height``, ``width``, ...).

    Raises ``UnknownArchitectureError``.
    """
    return _named(DETECTORS, name)(num_classes, **sizes)


def check_detector(name: str) -> None:
    """Raises ``UnknownArchitectureError`` if there is no such detector."""
    _named(DETECTORS, name)


def build_embedder(name: str) -> nn.Module:
    """The embedder ``name`` with random weights: RGB in 0..1 [M, 3, 256, 128] -> features [M, D].

    Raises ``UnknownArchitectureError``.
    """
    return _named(EMBEDDERS, name)()


def _lite0(out_indices: tuple[int, ...]) -> Any:
    return timm.create_model(LITE0, pretrained=False, features_only=True, out_indices=out_indices)


def _named(known: Mapping[str, Callable[..., ModuleT]], name: str) -> Callable[..., ModuleT]:
    try:
        return known[name]
    except KeyError:
        raise UnknownArchitectureError(f"unknown architecture {name!r}; known: {', '.join(sorted(known))}") from None
