"""How well the demo's Re-ID network tells people apart that it never saw, beside two others.

The others are a colour histogram, which any network has to beat, and OSNet x0.25 as published for MSMT17, which was
trained on real people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from demo.site.samples import reid_samples
from demo.training.crops import SMALLEST_REAL, augmented, network_crop
from demo.training.metrics import mean_average_precision, neutral_similarity, rank_one
from demo.training.onnx_session import milliseconds_a_row, open_session
from demo.training.photos import load_photos
from demo.training.reid import ARCHITECTURE
from export.architectures import build_embedder
from export.onnx_models import export_reid_file
from export.reid import CropEmbedder
from export.weights import load_weights

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

PEOPLE_SEED = 90_002
VIEWS_SEED = 90_003
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
HUES, SATURATIONS, VALUES, BANDS = 12, 4, 4, 4
TIMED_CROPS = 16

Embed = Callable[[UInt8], Float32]
"""Crops [M, 256, 128, 3] RGB to rows [M, D] of length 1."""


@dataclass(frozen=True, slots=True)
class ReidFigures:
    """One way to describe people."""

    rank_1: float
    """Unseen simulated people, one camera searched from another, within one place."""
    mean_average_precision: float
    """The same."""
    neutral_similarity: float
    """Cosine at which a pair of these is as likely of one person as of two."""
    rank_1_real_views: float
    """Held-out people of photos, one changed view of their only picture searched from another."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Crops with their people and cameras."""

    crops: UInt8
    """[M, 256, 128, 3] RGB."""
    ids: Int64
    cameras: Int64


def reid_figures(weights: Path, data: Path, places: int = 4, people: int = 24) -> dict[str, ReidFigures]:
    """The network, the histogram and, where its file is in ``data``, OSNet: on ``places`` times ``people``."""
    rivals: dict[str, Embed] = {"network": network(weights), "HSV histogram": histogram}
    osnet = data / "weights" / "osnet_x0_25_msmt17.onnx"
    if osnet.is_file():
        rivals["OSNet x0.25, MSMT17"] = _osnet(osnet)
    simulated, real = _simulated(places, people), _real_views(data)
    return {name: _measure(embed, simulated, real) for name, embed in rivals.items()}


def network(weights: Path) -> Embed:
    """The demo's network as it is exported."""
    model = build_embedder(ARCHITECTURE)
    load_weights(model, weights)
    graph = CropEmbedder(model).eval()

    def embed(crops: UInt8) -> Float32:
        with torch.inference_mode():
            return np.concatenate([graph(part).numpy() for part in torch.from_numpy(crops).split(32)])

    return embed


def histogram(crops: UInt8) -> Float32:
    """Square roots of the shares of hues, saturations and values in four bands from head to feet."""
    rows = []
    for crop in crops:
        hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
        bands = [
            cv2.calcHist([band], [0, 1, 2], None, [HUES, SATURATIONS, VALUES], [0, 180, 0, 256, 0, 256]).ravel()
            for band in np.split(hsv, BANDS)
        ]
        rows.append(np.sqrt(np.concatenate(bands)))
    return _unit(np.stack(rows).astype(np.float32))


def milliseconds_per_crop(weights: Path, work: Path) -> float:
    """Median in batches of sixteen with two threads; ``work`` is a folder for the ONNX file."""
    onnx = work / "reid.onnx"
    export_reid_file(ARCHITECTURE, weights, onnx)
    return milliseconds_a_row(onnx, np.random.default_rng(0).integers(0, 256, (TIMED_CROPS, 256, 128, 3), np.uint8))


def _osnet(path: Path) -> Embed:
    session = open_session(path, threads=2)
    name = session.get_inputs()[0].name

    def embed(crops: UInt8) -> Float32:
        normalised = (crops.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        rows = [session.run(None, {name: crop[None]})[0][0] for crop in normalised.transpose(0, 3, 1, 2)]
        return _unit(np.stack(rows))

    return embed


def _simulated(places: int, people: int) -> list[Gallery]:
    """A gallery for each place: ``people`` under two cameras, nearly alike ones among them."""
    samples = reid_samples(PEOPLE_SEED, identities_per_place=people, cameras=2, crops_per_camera=4)
    by_place = groupby(samples, key=lambda sample: sample.identity // people)
    galleries = []
    for _, place in islice(by_place, places):
        crops = list(place)
        ids, cameras = (np.array([getattr(crop, name) for crop in crops]) for name in ("identity", "camera"))
        galleries.append(Gallery(np.stack([network_crop(crop.rgb) for crop in crops]), ids, cameras))
    return galleries


def _real_views(data: Path) -> Gallery:
    """Two changed views of everybody in the held-out photos; there is but one picture of each."""
    rng = np.random.default_rng(VIEWS_SEED)
    photos = [*load_photos(data, "pennfudan", test=True), *load_photos(data, "coco_people", test=True)]
    boxes = [(photo.pixels, box) for photo in photos for box in photo.boxes.astype(int)]
    people = [pixels[y1:y2, x1:x2] for pixels, (x1, y1, x2, y2) in boxes if y2 - y1 >= SMALLEST_REAL]
    crops = np.stack([augmented(person, rng) for person in people for _ in range(2)])
    return Gallery(crops, np.repeat(np.arange(len(people)), 2), np.tile([0, 1], len(people)))


def _measure(embed: Embed, simulated: Sequence[Gallery], real: Gallery) -> ReidFigures:
    figures = []
    for gallery in simulated:
        embeddings = embed(gallery.crops)
        search = _search(embeddings, gallery)
        neutral = neutral_similarity(embeddings, gallery.ids, gallery.cameras)
        figures.append((rank_one(*search), mean_average_precision(*search), neutral))
    rank_1, precision, neutral = np.mean(figures, axis=0)
    real_rank_1 = rank_one(*_search(embed(real.crops), real))
    return ReidFigures(float(rank_1), float(precision), float(neutral), real_rank_1)


def _search(embeddings: Float32, gallery: Gallery) -> tuple[Float32, Int64, Float32, Int64]:
    """Queries of the second camera and the gallery of the first; who is in one alone is not asked for."""
    first = gallery.cameras == 0
    asked = ~first & np.isin(gallery.ids, gallery.ids[first])
    return embeddings[asked], gallery.ids[asked], embeddings[first], gallery.ids[first]


def _unit(rows: Float32) -> Float32:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
