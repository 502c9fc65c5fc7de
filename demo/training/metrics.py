"""How good detections and embeddings are: average precision, precision and recall, rank-1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """What was found in one picture beside what is there."""

    boxes: Float32
    """[N, 4] xyxy."""
    scores: Float32
    """[N]"""
    truth: Float32
    """[T, 4] xyxy."""
    ignored: Bool
    """[T] truth that need not be found; who finds it gains and loses nothing."""


def average_precision(pictures: Sequence[Scored], iou: float = 0.5) -> float:
    """Area under the precision-recall curve over all pictures, every recall step counted (Pascal VOC since 2010)."""
    scores = np.concatenate([picture.scores for picture in pictures])
    verdicts = np.concatenate([match(picture, iou) for picture in pictures])
    counted = verdicts >= 0
    hits = verdicts[counted][np.argsort(-scores[counted], kind="stable")]
    total = sum(int((~picture.ignored).sum()) for picture in pictures)
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(found) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / total) if total else float("nan")


def precision_recall(pictures: Sequence[Scored], score: float = 0.5, iou: float = 0.5) -> tuple[float, float]:
    """Precision and recall of the detections at or above ``score``."""
    hits = false = 0
    for picture in pictures:
        kept = picture.scores >= score
        verdicts = match(Scored(picture.boxes[kept], picture.scores[kept], picture.truth, picture.ignored), iou)
        hits, false = hits + int((verdicts == 1).sum()), false + int((verdicts == 0).sum())
    total = sum(int((~picture.ignored).sum()) for picture in pictures)
    return hits / max(hits + false, 1), hits / max(total, 1)


def match(picture: Scored, iou: float) -> Int64:
    """For each detection 1 (finds somebody), 0 (false) or -1 (falls on ignored truth); the best score chooses first."""
    overlaps = box_iou(picture.boxes, picture.truth)
    free = np.ones(len(picture.truth), np.bool_)
    verdicts = np.zeros(len(picture.boxes), np.int64)
    for row in np.argsort(-picture.scores, kind="stable"):
        reachable = np.where(free & (overlaps[row] >= iou), overlaps[row], 0.0)
        wanted = np.where(picture.ignored, 0.0, reachable)
        if wanted.any():
            free[wanted.argmax()] = False
            verdicts[row] = 1
        elif reachable.any():
            verdicts[row] = -1
    return verdicts


def box_iou(first: Float32, second: Float32) -> Float64:
    """Intersection over union of boxes [A, 4] and [B, 4] -> [A, B]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2, dtype=np.float64)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1, dtype=np.float64) for boxes in (first, second)]
    return np.asarray(common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9), np.float64)


def rank_one(queries: Float32, query_ids: Int64, gallery: Float32, gallery_ids: Int64) -> float:
    """Share of queries [Q, D] whose nearest gallery entry [G, D] by cosine (rows of length 1) is the same person."""
    nearest = (queries @ gallery.T).argmax(axis=1)
    return float((gallery_ids[nearest] == query_ids).mean())


def neutral_similarity(embeddings: Float32, ids: Int64, cameras: Int64) -> float:
    """The cosine that best parts pairs of one person under two cameras from pairs of different people.

    It maximises true minus false positive rate (Youden's J), which is where the two densities cross.
    """
    rows, columns = np.triu_indices(len(ids), 1)
    cosines = np.einsum("nd,nd->n", embeddings[rows], embeddings[columns])
    same = np.sort(cosines[(ids[rows] == ids[columns]) & (cameras[rows] != cameras[columns])])
    different = np.sort(cosines[ids[rows] != ids[columns]])
    levels = np.linspace(-1, 1, 201)
    missed = np.searchsorted(same, levels) / len(same)
    mistaken = 1 - np.searchsorted(different, levels) / len(different)
    return float(levels[np.argmin(missed + mistaken)])


def mean_average_precision(queries: Float32, query_ids: Int64, gallery: Float32, gallery_ids: Int64) -> float:
    """Mean over queries of the average precision of the gallery in order of similarity."""
    order = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    right = gallery_ids[order] == query_ids[:, None]
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    return float(((precision * right).sum(axis=1) / np.maximum(right.sum(axis=1), 1)).mean())
