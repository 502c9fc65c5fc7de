"""What parity is held against: the same weights in eager PyTorch, in single precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.models.detection import FasterRCNN

from export.clip_reid import Neck
from export.config import ExportConfig
from export.detectors import load_detector
from export.embedders import EmbedderOptions, load_embedder
from export.onnx_file import ModelSource, digest_of
from export.reid import CropEmbedder
from export.served import Float32, UInt8

PERSON = 1
CROPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """The eager models; ``detector`` does not resize frames of the served size."""

    detector: FasterRCNN
    embedder: CropEmbedder
    model_ids: tuple[str, str]
    """Of both, as their exports have them."""


@dataclass(frozen=True, slots=True)
class Found:
    """People in one frame, best first."""

    boxes: Float32
    """[N, 4] xyxy, pixels of the frame."""
    scores: Float32
    """[N]"""


def load_reference(config: ExportConfig) -> Reference:
    """Builds both models from the weights that ``config`` names. Raises ``ValueError`` and ``OSError``."""
    wanted = config.detector
    detector = load_detector(wanted.architecture, str(wanted.weights), wanted.height, wanted.width)
    options = EmbedderOptions(Neck(config.reid.neck), config.reid.camera)
    embedder = load_embedder(config.reid.weights, config.reid.architecture, options)
    sources = (
        ModelSource(wanted.architecture, digest_of(detector)),
        ModelSource(embedder.name, digest_of(embedder.network)),
    )
    return Reference(detector, CropEmbedder(embedder.network), (sources[0].model_id, sources[1].model_id))


def eager_people(model: FasterRCNN, frame: UInt8, rows: int) -> Found:
    """The best ``rows`` people that torchvision's own model finds in a frame [H, W, 3] of the size it was built for."""
    image = torch.from_numpy(frame).permute(2, 0, 1).float() / 255.0
    kept = model.roi_heads.detections_per_img
    model.roi_heads.detections_per_img = kept * model.roi_heads.box_predictor.cls_score.out_features
    try:
        with torch.inference_mode():
            (found,) = model([image])
    finally:
        model.roi_heads.detections_per_img = kept
    people = found["labels"] == PERSON
    return Found(found["boxes"][people][:rows].numpy(), found["scores"][people][:rows].numpy())


def eager_embeddings(model: CropEmbedder, crops: UInt8) -> Float32:
    """[M, D] of length 1 for crops [M, 256, 128, 3]."""
    with torch.inference_mode():
        starts = range(0, len(crops), CROPS_AT_ONCE)
        parts = [model(torch.from_numpy(crops[at : at + CROPS_AT_ONCE])) for at in starts]
    embeddings: Float32 = torch.cat(parts).numpy()
    return embeddings
