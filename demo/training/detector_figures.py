"""How well the demo's detector sees people that it was not trained on: in photos, simulated places and real footage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from demo.site.samples import detection_samples
from demo.training.compose import LEAST_VISIBLE, NETWORK_HW
from demo.training.detector import ARCHITECTURE, load_detector
from demo.training.metrics import Scored, average_precision, precision_recall
from demo.training.onnx_session import milliseconds_a_row
from demo.training.photos import in_val2017, load_photos
from export.detector import BatchedFasterRCNN
from export.onnx_models import export_detector_file

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

PLACES_SEED = 90_001
SMALLEST = 24
"""Pixels at the network's input; smaller people are ignored in simulated places."""
BATCH = 4


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """AP at IoU 0.5, and precision and recall at score 0.5 where only these are asked for."""

    ap50_pennfudan: float
    ap50_coco_people: float
    ap50_coco_val2017: float
    """Of the same photos those that NanoDet, which the features come from, has not learned from either."""
    ap50_simulated: float
    corridor_precision: float
    corridor_recall: float
    ms_per_frame: float
    """ONNX Runtime on the CPU with two threads, batches of four."""


def detector_figures(weights: Path, data: Path, work: Path, places: int = 30) -> DetectorFigures:
    """Runs the deployable graph on every held-out photo, ``places`` unseen places and the corridor video.

    ``work`` is a folder for the ONNX file that is timed.
    """
    graph = load_graph(weights)
    coco = list(_photos(graph, data, "coco_people"))
    names = [photo.name for photo in load_photos(data, "coco_people", test=True)]
    unseen = [scored for scored, name in zip(coco, names, strict=True) if in_val2017(name)]
    precision, recall = precision_recall(list(_corridor(graph, data / "video")))
    return DetectorFigures(
        ap50_pennfudan=average_precision(list(_photos(graph, data, "pennfudan"))),
        ap50_coco_people=average_precision(coco),
        ap50_coco_val2017=average_precision(unseen),
        ap50_simulated=average_precision(list(_simulated(graph, places * 4))),
        corridor_precision=precision,
        corridor_recall=recall,
        ms_per_frame=_time(weights, work / "detector.onnx"),
    )


def load_graph(weights: Path) -> nn.Module:
    """The detector as it is exported."""
    height, width = NETWORK_HW
    return BatchedFasterRCNN(load_detector(weights, height=height, width=width), height, width).eval()


def detect(graph: nn.Module, rgb: UInt8) -> tuple[Float32, Float32]:
    """One picture of any size, scaled to fit and padded: boxes [N, 4] in its own pixels and scores [N]."""
    scale = min(NETWORK_HW[0] / rgb.shape[0], NETWORK_HW[1] / rgb.shape[1])
    width, height = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    canvas = np.zeros((1, *NETWORK_HW, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[0, :height, :width] = cv2.resize(rgb, (width, height), interpolation=method)
    with torch.inference_mode():
        boxes, scores = (tensor[0].numpy() for tensor in graph(torch.from_numpy(canvas)))
    kept = scores > 0
    return (boxes[kept] / scale).astype(np.float32), scores[kept]


def corridor_frames(folder: Path) -> Iterator[tuple[int, UInt8, Float32]]:
    """Every frame of the corridor video that has reference boxes: its index, pixels and boxes [N, 4].

    The boxes are those of a strong detector, standing in for the truth.
    """
    reference = json.loads((folder / "reference_boxes.json").read_text())["boxes_xyxy_score"]
    with av.open(str(folder / "one-by-one-person-detection.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if str(index) in reference:
                boxes = np.asarray(reference[str(index)], np.float32).reshape(-1, 5)[:, :4]
                yield index, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), boxes


def _photos(graph: nn.Module, data: Path, dataset: str) -> Iterator[Scored]:
    for photo in load_photos(data, dataset, test=True):
        yield _scored(graph, photo.pixels, photo.boxes)


def _corridor(graph: nn.Module, folder: Path) -> Iterator[Scored]:
    for _, rgb, truth in corridor_frames(folder):
        yield _scored(graph, rgb, truth)


def _scored(graph: nn.Module, rgb: UInt8, truth: Float32) -> Scored:
    boxes, scores = detect(graph, rgb)
    return Scored(boxes, scores, truth, np.zeros(len(truth), np.bool_))


def _simulated(graph: nn.Module, count: int) -> Iterator[Scored]:
    """The truth is everyone of whom enough is visible and who is not tiny; the others are ignored."""
    for frame in islice(detection_samples(PLACES_SEED, frames_per_place=4), count):
        boxes, scores = detect(graph, frame.rgb)
        hidden = (frame.visibility < LEAST_VISIBLE) | (frame.boxes[:, 3] - frame.boxes[:, 1] < SMALLEST)
        yield Scored(boxes, scores, frame.boxes, hidden)


def _time(weights: Path, onnx: Path) -> float:
    """Median milliseconds a frame on frames of simulated places."""
    height, width = NETWORK_HW
    export_detector_file(ARCHITECTURE, weights, onnx, height=height, width=width)
    frames = [frame.rgb for frame in islice(detection_samples(PLACES_SEED, width, height), BATCH)]
    return milliseconds_a_row(onnx, np.stack(frames))
