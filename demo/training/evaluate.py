"""Measures the demo's models on what they were not trained on: photos, places, people and real footage.

``python -m demo.training evaluate`` prints the figures of the model card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from demo.site.samples import detection_samples, reid_samples
from demo.training.compose import LEAST_VISIBLE
from demo.training.crops import network_crop
from demo.training.metrics import (
    Scored,
    average_precision,
    mean_average_precision,
    neutral_similarity,
    precision_recall,
    rank_one,
)
from demo.training.photos import load_photos
from export.architectures import build_detector, build_embedder
from export.detector import BatchedFasterRCNN
from export.reid import CropEmbedder
from export.weights import load_weights

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

INPUT_HW = (384, 672)
PLACES_SEED = 90_001
PEOPLE_SEED = 90_002
SMALLEST = 24
"""Pixels at the network's input; smaller people are ignored in simulated places."""


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """AP at IoU 0.5, and precision and recall at score 0.5 where only these are asked for."""

    ap50_pennfudan: float
    ap50_coco_people: float
    ap50_simulated: float
    corridor_precision: float
    corridor_recall: float


@dataclass(frozen=True, slots=True)
class ReidFigures:
    """Simulated people that the network never saw, one camera searched from another, within one place."""

    people: int
    rank_1: float
    mean_average_precision: float
    neutral_similarity: float
    """Cosine at which a pair is as likely of one person as of two."""


def evaluate(detector: Path, reid: Path, data: Path) -> dict[str, dict[str, float]]:
    """All figures of both models, by model."""
    return {
        "detector": asdict(evaluate_detector(detector, data)),
        "reid": asdict(evaluate_reid(reid)),
    }


def evaluate_detector(weights: Path, data: Path, places: int = 30) -> DetectorFigures:
    """Runs the deployable graph on every held-out photo, ``places`` unseen places and the corridor video."""
    model = build_detector("fasterrcnn_lite0_fpn", height=INPUT_HW[0], width=INPUT_HW[1])
    load_weights(model, weights)
    graph = BatchedFasterRCNN(model, *INPUT_HW).eval()
    precision, recall = precision_recall(list(_corridor(graph, data / "video")))
    return DetectorFigures(
        ap50_pennfudan=average_precision(list(_photos(graph, data, "pennfudan"))),
        ap50_coco_people=average_precision(list(_photos(graph, data, "coco_people"))),
        ap50_simulated=average_precision(list(_simulated(graph, places * 4))),
        corridor_precision=precision,
        corridor_recall=recall,
    )


def evaluate_reid(weights: Path, places: int = 4, people: int = 24) -> ReidFigures:
    """In each of ``places``, crops of the second camera are searched among those of the first, ``people`` in each."""
    network = build_embedder("lite0_bands")
    load_weights(network, weights)
    graph = CropEmbedder(network).eval()
    samples = reid_samples(PEOPLE_SEED, identities_per_place=people, cameras=2, crops_per_camera=4)
    by_place = groupby(samples, key=lambda sample: sample.identity // people)
    figures = []
    for _, place in islice(by_place, places):
        crops = list(place)
        embeddings = _embed(graph, [crop.rgb for crop in crops])
        ids, cameras = (np.array([getattr(crop, name) for crop in crops]) for name in ("identity", "camera"))
        first = cameras == 0
        asked = ~first & np.isin(ids, ids[first])
        search = (embeddings[asked], ids[asked], embeddings[first], ids[first])
        neutral = neutral_similarity(embeddings, ids, cameras)
        figures.append((rank_one(*search), mean_average_precision(*search), neutral))
    rank_1, precision, neutral = np.mean(figures, axis=0)
    return ReidFigures(people * places, float(rank_1), float(precision), float(neutral))


def detect(graph: nn.Module, rgb: UInt8) -> tuple[Float32, Float32]:
    """One picture of any size, scaled to fit and padded: boxes [N, 4] in its own pixels and scores [N]."""
    scale = min(INPUT_HW[0] / rgb.shape[0], INPUT_HW[1] / rgb.shape[1])
    width, height = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    canvas = np.zeros((1, *INPUT_HW, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[0, :height, :width] = cv2.resize(rgb, (width, height), interpolation=method)
    with torch.inference_mode():
        boxes, scores = (tensor[0].numpy() for tensor in graph(torch.from_numpy(canvas)))
    kept = scores > 0
    return (boxes[kept] / scale).astype(np.float32), scores[kept]


def _photos(graph: nn.Module, data: Path, dataset: str) -> Iterator[Scored]:
    for photo in load_photos(data, dataset, test=True):
        boxes, scores = detect(graph, photo.pixels)
        yield Scored(boxes, scores, photo.boxes, np.zeros(len(photo.boxes), np.bool_))


def _simulated(graph: nn.Module, count: int) -> Iterator[Scored]:
    """The truth is everyone of whom enough is visible and who is not tiny; the others are ignored."""
    for frame in islice(detection_samples(PLACES_SEED, frames_per_place=4), count):
        boxes, scores = detect(graph, frame.rgb)
        hidden = (frame.visibility < LEAST_VISIBLE) | (frame.boxes[:, 3] - frame.boxes[:, 1] < SMALLEST)
        yield Scored(boxes, scores, frame.boxes, hidden)


def _corridor(graph: nn.Module, folder: Path) -> Iterator[Scored]:
    """Every frame that has reference boxes; those of a strong detector, standing in for the truth."""
    reference = json.loads((folder / "reference_boxes.json").read_text())["boxes_xyxy_score"]
    for index, rgb in enumerate(_frames(folder / "one-by-one-person-detection.mp4")):
        if str(index) in reference:
            truth = np.asarray(reference[str(index)], np.float32).reshape(-1, 5)[:, :4]
            boxes, scores = detect(graph, rgb)
            yield Scored(boxes, scores, truth, np.zeros(len(truth), np.bool_))


def _frames(path: Path) -> Iterator[UInt8]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _embed(graph: nn.Module, crops: Iterable[UInt8]) -> Float32:
    pixels = torch.from_numpy(np.stack([network_crop(crop) for crop in crops]))
    with torch.inference_mode():
        return np.concatenate([graph(part).numpy() for part in pixels.split(32)])
