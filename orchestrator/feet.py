"""Where people stand when the lower edge of their box does not say it: feet hidden, or cut off by the frame.

An upright person's height in the image is in proportion to how near they are: h = k w, where w is the weight of the
ground homography at their feet (1 / depth, up to a factor of the camera; Hartley & Zisserman, section 8.6 for the
geometry of single views). k is the camera's and follows from its own detections, as the commonest h / w; nothing has to
be calibrated for it. People differ from it by their stature, 5 % of k; tracks remember by how much. A box much lower
than its track's stature allows has its feet hidden, and they are where a person of that stature has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orchestrator.homography import Homography, foot_points
from orchestrator.values import Bool, Float32, Float64, Int64

FOOT_ERROR = 0.05
"""Standard error of a box's foot point in either direction, as a share of the box's height: detectors' boxes of people
jitter by about this (at IoU 0.8 to 0.9 with the truth), and feet move within a step."""
STATURE_ERROR = 0.1
"""The same downwards where the feet are hidden and stature has to say where they are."""
CUT_FOOT_ERROR = 0.3
"""The same where the feet are cut off and nothing is known of the camera's statures yet."""
LOG_STEP = 0.05
LOG_BINS = 200
"""Bins of log(h / w): e^0 to e^10 px."""
SMOOTHING = np.array([1, 2, 3, 2, 1])
MIN_BOXES = 40.0
"""Boxes of whole people after which the camera's k counts as known."""
MEMORY_BOXES = 20_000.0
"""Counts are halved beyond this, so that a k can follow a changed detector."""
HIDDEN = 0.2
"""In log h: a box that much lower than its person has its feet hidden."""
UPRIGHT_ASPECT = 1.9
"""Height over width below which somebody not seen whole before is taken to be hidden in part, and not to be a child."""
SHORTEST, TALLEST = -0.55, 0.4
"""In log h: what is lower or higher than these in the mean is no standing person: 1 m, or 2.5 m, where k is 1.7 m."""
STATURE_MEMORY = 0.9
"""Share of the known stature that is kept at each sighting."""
SINKING = 0.98
"""The same while the box is lower than that: somebody who sat down is believed after some seconds."""
LOOKS_NEEDED = 3.0
"""Whole boxes of a track after which its stature is known."""


@dataclass(frozen=True, slots=True)
class Feet:
    """Where the people of one camera and tick stand."""

    points: Float64
    """[N, 2] px; may lie below the frame."""
    errors: Float64
    """[N, 2] standard error sideways and downwards, px."""
    upright: Bool
    """[N] False for what cannot be a person who stands there: far too low or too high for its place."""


class FootModel:
    """The statures that one camera shows. Not thread-safe."""

    def __init__(self, homography: Homography) -> None:
        self._homography = homography
        self._counts = np.zeros(LOG_BINS)
        self._tracks: dict[int, tuple[float, float, int]] = {}
        """Of each track: its stature relative to k (log), whole boxes seen, last tick."""

    def place(self, tick: int, track_ids: Int64, boxes: Float32, sure: Bool, cut: Bool) -> Feet:
        """The feet of one tick's tracks.

        Args:
            tick: rising.
            track_ids: [N].
            boxes: [N, 4] xyxy px.
            sure: [N] whether the box counts for the camera's k.
            cut: [N, 4] whether the frame's left, upper, right, lower edge cuts it.
        """
        bottom = foot_points(boxes)
        height = (boxes[:, 3] - boxes[:, 1]).astype(np.float64)
        errors = np.stack([FOOT_ERROR * height, np.where(cut[:, 3], CUT_FOOT_ERROR, FOOT_ERROR) * height], axis=1)
        log_k = _log_k(self._homography, boxes)
        whole = ~(cut[:, 1] | cut[:, 3]) & np.isfinite(log_k)
        self._count(log_k[whole & sure])
        usual = self._usual()
        if usual is None:
            return Feet(bottom, errors, np.ones(len(boxes), np.bool_))
        relative = log_k - usual
        known = self._known(track_ids)
        hidden = ~cut[:, 1] & (cut[:, 3] | _is_hidden(relative, known, boxes))
        self._remember(tick, track_ids, relative, whole & ~hidden, whole & hidden)
        points = bottom.copy()
        from_top = self._from_top(boxes, np.exp(usual + known[:, 0]))
        lower = hidden & (from_top[:, 1] > bottom[:, 1])
        points[lower] = from_top[lower]
        tall = points[:, 1] - boxes[:, 1]
        errors[lower, 1] = STATURE_ERROR * tall[lower]
        return Feet(points, errors, self._upright(track_ids))

    def state(self) -> dict[str, Any]:
        """Columns of numbers for a snapshot."""
        rows = [(track, *values) for track, values in self._tracks.items()]
        return {"counts": self._counts, "tracks": np.array(rows, np.float64).reshape(-1, 4)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        self._counts = np.array(state["counts"], np.float64)
        self._tracks = {int(row[0]): (float(row[1]), float(row[2]), int(row[3])) for row in state["tracks"]}

    def forget(self, before_tick: int) -> None:
        """Drops tracks that were last seen before the tick."""
        self._tracks = {track: values for track, values in self._tracks.items() if values[2] >= before_tick}

    def _count(self, log_k: Float64) -> None:
        self._counts += _histogram(log_k)
        if self._counts.sum() > MEMORY_BOXES:
            self._counts /= 2

    def _usual(self) -> float | None:
        """Log of k; None before enough people were seen whole."""
        return _commonest(self._counts)

    def _known(self, track_ids: Int64) -> Float64:
        """[N, 2] relative stature and whole boxes seen; stature 0 while too few were."""
        rows = [self._tracks.get(track, (0.0, 0.0, 0)) for track in track_ids.tolist()]
        found = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
        found[found[:, 1] < LOOKS_NEEDED, 0] = 0
        return found

    def _remember(self, tick: int, track_ids: Int64, relative: Float64, whole: Bool, hidden: Bool) -> None:
        for track, value, seen, low in zip(
            track_ids.tolist(), relative.tolist(), whole.tolist(), hidden.tolist(), strict=True
        ):
            stature, looks, _ = self._tracks.get(track, (value, 0.0, tick))
            if seen and (looks < LOOKS_NEEDED or value > stature + HIDDEN):
                stature = (stature * looks + value) / (looks + 1) if value <= stature + HIDDEN else value
            elif seen:
                stature = STATURE_MEMORY * stature + (1 - STATURE_MEMORY) * value
            elif low and looks:
                stature = SINKING * stature + (1 - SINKING) * value
            self._tracks[track] = (stature, looks + seen, tick)

    def _upright(self, track_ids: Int64) -> Bool:
        rows = [self._tracks[track] for track in track_ids.tolist()]
        statures, looks = (np.array([row[column] for row in rows], np.float64) for column in (0, 1))
        return np.asarray((looks > 0) & (statures >= SHORTEST) & (statures <= TALLEST), np.bool_)

    def _from_top(self, boxes: Float32, k: Float64) -> Float64:
        """[N, 2] the feet of people whose heads are where the boxes' upper edges are: v - top = k w(u, v), solved for
        v; w is linear in v.
        """
        u, top = (boxes[:, 0] + boxes[:, 2]).astype(np.float64) / 2, boxes[:, 1].astype(np.float64)
        slope = self._homography.matrix[2, 1]
        at_top = self._homography.weight(np.stack([u, top], axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = k * at_top / (1 - k * slope)
        return np.stack([u, np.where((at_top > 0) & (rise > 0), top + rise, -np.inf)], axis=1)


def statures(homography: Homography, boxes: Float32, whole: Bool) -> Float64:
    """By how much the boxes of a camera are higher than its upright people are at their places.

    Args:
        homography: of the camera.
        boxes: [N, 4] xyxy px, of many ticks.
        whole: [N] False where the frame cuts them.

    Returns:
        [N] in log h; NaN where it is not known, 0 where too few were seen whole to tell what is usual.
    """
    log_k = np.where(whole, _log_k(homography, boxes), np.nan)
    usual = _commonest(_histogram(log_k[np.isfinite(log_k)]))
    return np.zeros(len(boxes)) if usual is None else log_k - usual


def _log_k(homography: Homography, boxes: Float32) -> Float64:
    """[N] log of h / w; NaN beyond the horizon."""
    weight = homography.weight(foot_points(boxes))
    height = (boxes[:, 3] - boxes[:, 1]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, np.log(height / weight), np.nan)


def _histogram(log_k: Float64) -> Float64:
    bins = np.floor(log_k / LOG_STEP).astype(np.int64)
    return np.bincount(bins[(bins >= 0) & (bins < LOG_BINS)], minlength=LOG_BINS).astype(np.float64)


def _commonest(counts: Float64) -> float | None:
    """Log of k; None before enough people were seen whole."""
    if counts.sum() < MIN_BOXES:
        return None
    return float((np.convolve(counts, SMOOTHING, "same").argmax() + 0.5) * LOG_STEP)


def _is_hidden(relative: Float64, known: Float64, boxes: Float32) -> Bool:
    seen_whole = known[:, 1] >= LOOKS_NEEDED
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 1e-6)
    stout = (boxes[:, 3] - boxes[:, 1]) / width < UPRIGHT_ASPECT
    return np.asarray((relative < known[:, 0] - HIDDEN) & (seen_whole | stout), np.bool_)
