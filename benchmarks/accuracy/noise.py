"""A stand-in for the demo's models on scenes too large for them: what they miss, where their boxes lie, what they see.

Fitted to the demo models' own output on the rendered campus with the seeds 4 and 5, which are not scored (``fit``;
``python -m benchmarks accuracy --fit-noise``), and kept in ``noise.json`` with the weights whose output it was; every
figure of a scene that uses it is labelled ``noise model``. Errors of one person's
boxes go on from tick to tick (an autoregressive process), since those of a detector do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.stats import norm

from benchmarks.accuracy.scene import BoxTruth, Scene, detection_file
from demo.scores import BoxTable, assign_rows
from orchestrator.recorded.detections import DetectionFile
from orchestrator.values import Float64, Int64

FILE = Path(__file__).parent / "noise.json"
VISIBILITY = (0.0, 0.25, 0.5, 0.75, 0.95, 1.01)
HEIGHT_PX = (0.0, 80.0, 120.0, 1e9)
SCORES = 20
REPEATS, FITTED_RATE = 0.8, 12.0
"""Correlation of a person's errors from one tick to the next, and at how many ticks a second."""


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Figures by bins of visibility [V] and height [H]."""

    weights: Mapping[str, str]
    """SHA-256 of the weights whose output it is, by model."""
    found: Sequence[Sequence[float]]
    """[V][H] share of true boxes that a detection over the low threshold matches."""
    scores: Sequence[Sequence[float]]
    """[V][SCORES] quantiles of the scores of those."""
    box_error: Sequence[Sequence[float]]
    """[V][4] standard error of left, top, right and lower edge, as a share of the height."""
    false_per_frame: float
    false_scores: Sequence[float]
    """[SCORES] quantiles."""
    cosine_other: float
    """Mean cosine of looks of different people."""
    cosine_other_spread: float
    cosine_cameras: float
    """Of one person's looks in two cameras."""
    cosine_near: float
    """Of one person's looks in one camera a second apart."""

    @property
    def dimension(self) -> int:
        """Of drawn looks: that in which the cosines of random directions spread as those of different people do."""
        return max(2, round(self.cosine_other_spread**-2))

    @classmethod
    def load(cls) -> NoiseModel:
        """As fitted."""
        return cls(**json.loads(FILE.read_text()))

    def save(self) -> None:
        """In place of the former fit."""
        FILE.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def fit(scenes: Sequence[Scene], weights: Mapping[str, str]) -> NoiseModel:
    """Measures a detector with these weights on scenes with true boxes; NaN where it found nobody of a visibility."""
    cameras = [(scene.boxes[name], file) for scene in scenes for name, file in scene.recording.files.items()]
    hit, error, score, visible, height, wrong, ticks = [], [], [], [], [], [], 0
    for truth, file in cameras:
        table = BoxTable(file.frames, np.zeros(len(file), np.int64), file.boxes)
        rows, found = assign_rows(truth.table, table)
        mask = np.zeros(len(truth.table), np.bool_)
        mask[rows] = True
        tall = truth.table.boxes[:, 3] - truth.table.boxes[:, 1]
        hit.append(mask)
        visible.append(truth.visibility)
        height.append(tall)
        error.append(_at(len(mask), rows, (file.boxes[found] - truth.table.boxes[rows]) / tall[rows, None]))
        score.append(_at(len(mask), rows, file.scores[found]))
        wrong.append(np.delete(file.scores, found))
        ticks += int(file.frames.max()) + 1
    hits, errors, scores = np.concatenate(hit), np.concatenate(error), np.concatenate(score)
    v, h = np.digitize(np.concatenate(visible), VISIBILITY[1:-1]), np.digitize(np.concatenate(height), HEIGHT_PX[1:-1])
    falses = np.concatenate(wrong)
    return NoiseModel(
        dict(weights),
        [[_mean(hits[(v == i) & (h == j)]) for j in range(len(HEIGHT_PX) - 1)] for i in range(len(VISIBILITY) - 1)],
        [_quantiles(scores[hits & (v == i)]) for i in range(len(VISIBILITY) - 1)],
        [_spreads(errors[hits & (v == i)]) for i in range(len(VISIBILITY) - 1)],
        len(falses) / ticks,
        _quantiles(falses),
        *_cosines(scenes),
    )


def _quantiles(scores: Float64) -> list[float]:
    return [float("nan")] * SCORES if not len(scores) else np.quantile(scores, np.linspace(0, 1, SCORES)).tolist()


def _spreads(errors: Float64) -> list[float]:
    return [float("nan")] * errors.shape[1] if not len(errors) else errors.std(axis=0).tolist()


def _cosines(scenes: Sequence[Scene]) -> tuple[float, float, float, float]:
    other, cameras, near = [], [], []
    rng = np.random.default_rng(1)
    for scene in scenes:
        people, rows, looks, ticks = [], [], [], []
        for number, (name, file) in enumerate(scene.recording.files.items()):
            truth = scene.boxes[name]
            true, found = assign_rows(truth.table, BoxTable(file.frames, np.zeros(len(file), np.int64), file.boxes))
            good = file.embeddings[found].any(axis=1)
            people.append(truth.table.ids[true[good]])
            rows.append(np.full(good.sum(), number))
            looks.append(file.embeddings[found[good]])
            ticks.append(file.frames[found[good]])
        who, where, look, when = (np.concatenate(part) for part in (people, rows, looks, ticks))
        first, second = rng.integers(0, len(who), (2, 400_000))
        cosine = (look[first] * look[second]).sum(axis=1)
        same, one = who[first] == who[second], where[first] == where[second]
        gap = np.abs(when[first] - when[second]) / scene.recording.rate
        other.append(cosine[~same])
        cameras.append(cosine[same & ~one])
        near.append(cosine[same & one & (gap > 0) & (gap < 1)])
    return (
        float(np.concatenate(other).mean()),
        float(np.concatenate(other).std()),
        float(np.concatenate(cameras).mean()),
        float(np.concatenate(near).mean()),
    )


def looks_of(model: NoiseModel, people: int, cameras: int, alike: float, rng: np.random.Generator) -> Float64:
    """[P, C, D] how each person looks in each camera, before the noise of one crop.

    A share ``alike`` of the people are copies of another person but for a fifth of what tells people apart.
    """
    own = rng.normal(size=(people, model.dimension))
    for person in range(1, people):
        if rng.random() < alike:
            own[person] = 0.8**0.5 * own[rng.integers(person)] + 0.2**0.5 * own[person]
    common, view = rng.normal(size=model.dimension), rng.normal(size=(people, cameras, model.dimension))
    shares = np.sqrt([model.cosine_other, model.cosine_cameras - model.cosine_other, model.cosine_near - model.cosine_cameras])  # fmt: skip # noqa: E501
    return np.asarray(shares[0] * common + shares[1] * own[:, None] + shares[2] * view, np.float64)


def detect(
    model: NoiseModel, camera: int, truth: BoxTruth, size_wh: tuple[int, int], ticks: int, looks: Float64,
    sure: float, rng: np.random.Generator, rate: float = FITTED_RATE,
) -> DetectionFile:  # fmt: skip
    """What the models would have said of one camera; only boxes over ``sure`` have embeddings."""
    table, rng_walk = truth.table, _going_on(truth.table, REPEATS ** (FITTED_RATE / rate), rng)
    height = table.boxes[:, 3] - table.boxes[:, 1]
    v, h = np.digitize(truth.visibility, VISIBILITY[1:-1]), np.digitize(height, HEIGHT_PX[1:-1])
    found = norm.cdf(rng_walk[:, 0]) < np.array(model.found)[v, h]
    levels = norm.cdf(rng_walk[:, 1])
    scores = np.array([np.interp(level, np.linspace(0, 1, SCORES), model.scores[row]) for level, row in zip(levels, v, strict=True)])  # fmt: skip # noqa: E501
    boxes = table.boxes + rng_walk[:, 2:6] * np.array(model.box_error)[v] * height[:, None]
    limit = np.array([*size_wh, *size_wh], np.float64)
    boxes = np.clip(boxes, 0, limit)
    found &= ((boxes[:, 2:] - boxes[:, :2]) > 2).all(axis=1)
    person = looks[table.ids - 1, camera]
    noise = rng.normal(size=person.shape) * np.sqrt(max(1 - model.cosine_near, 0.0))
    drawn = _unit(person + noise) * (scores >= sure)[:, None]
    count = rng.poisson(model.false_per_frame * ticks)
    corner = rng.uniform(0, 0.9, (count, 2)) * size_wh
    size = np.exp(rng.uniform(np.log(30), np.log(250), count))
    wrong = np.hstack([corner, np.minimum(corner + np.stack([0.4 * size, size], axis=1), size_wh)])
    wrong_scores = np.interp(rng.uniform(size=count), np.linspace(0, 1, SCORES), model.false_scores)
    wrong_looks = _unit(rng.normal(size=(count, model.dimension))) * (wrong_scores >= sure)[:, None]
    return detection_file(
        str(camera),
        np.concatenate([table.frames[found], rng.integers(0, ticks, count)]),
        np.vstack([boxes[found], wrong]),
        np.concatenate([scores[found], wrong_scores]),
        np.vstack([drawn[found], wrong_looks]).astype(np.float32),
        size_wh,
    )


def _going_on(table: BoxTable, repeats: float, rng: np.random.Generator) -> Float64:
    """[N, 6] standard normal, correlated by ``repeats`` from one row of a person to the next."""
    values = rng.normal(size=(len(table), 6))
    for person in np.unique(table.ids):
        rows = np.flatnonzero(table.ids == person)
        for before, row in pairwise(rows):
            values[row] = repeats * values[before] + np.sqrt(1 - repeats**2) * values[row]
    return values


def _at(count: int, rows: Int64, values: Float64) -> Float64:
    whole = np.zeros((count, *values.shape[1:]))
    whole[rows] = values
    return whole


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _unit(vectors: Float64) -> Float64:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
