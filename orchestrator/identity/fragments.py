"""Cuts tracklets where they may have passed from one person to another; the second pass joins the pieces that fit.

A cut is cheap: the pieces of one tracklet start with the trust in the tracker (``pairs.TRUST_NATS``) between
them, and are parted only if looks or places say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.boxes import iou
from orchestrator.feet import SHORTEST, TALLEST
from orchestrator.identity.evidence import WALKING_SPEED_M_S
from orchestrator.identity.recording import Recording
from orchestrator.identity.tables import normalised
from orchestrator.values import Bool, Float32, Float64, Int64

MEETING_IOU = 0.2
"""Overlap of two boxes of one camera from which their tracks may swap people."""
GAP_S = 1.0
"""A track that comes back after longer than this may be somebody else's."""
JUMP_SIGMAS = 4.0
"""A step on the map by this many standard errors more than anybody walks."""
LEAST_VIEWS = 3
"""Embeddings before and after a moment, without which looks say nothing of it."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """Pieces of tracklets, in the order of the recording's tracklets and of time within one."""

    tracklets: Int64
    """[F] row of the tracklet in the recording."""
    cameras: Int64
    """[F] row of the camera."""
    spans: Int64
    """[F, 2] first and last tick of which they say who it is; together the pieces of a tracklet cover its span."""
    seen: Int64
    """[F, 2] ticks of the first and the last sighting."""
    rows: Int64
    """[F, 2] their sightings in the recording: from, and to before."""
    looks: Float64
    """[F, D] mean embedding, L2-normalised; zeros where there is none."""
    views: Int64
    """[F] number of embeddings in the mean."""
    upright: Bool
    """[F] False for what cannot be a person who stands at its place: somebody who sits, or whose feet nobody sees."""

    def __len__(self) -> int:
        return len(self.tracklets)

    def owners(self) -> Int64:
        """[N] the fragment of each sighting of the recording."""
        return np.repeat(np.arange(len(self)), np.diff(self.rows, axis=1).ravel())


def cut(recording: Recording, threshold: float) -> Fragments:
    """The recording's tracklets in pieces; from a cosine of ``threshold`` looks speak for one person."""
    first_rows = _cut_rows(recording, threshold)
    last_rows = np.append(first_rows[1:], len(recording.frames))
    tracklets = recording.tracklets[first_rows]
    begins = recording.frames[first_rows].copy()
    leading = np.append(True, np.diff(tracklets) > 0)[: len(tracklets)]
    begins[leading] = recording.spans[tracklets[leading], 0]
    ends = np.append(begins[1:] - 1, 0)[: len(tracklets)]
    closing = np.append(np.diff(tracklets) > 0, True)[: len(tracklets)]
    ends[closing] = recording.spans[tracklets[closing], 1]
    spans = np.column_stack([begins, ends])
    looks, views = _mean_looks(recording, tracklets, begins)
    seen = np.column_stack([recording.frames[first_rows], recording.frames[last_rows - 1]])
    rows = np.column_stack([first_rows, last_rows])
    upright = _upright(recording, first_rows, tracklets)
    return Fragments(tracklets, recording.cameras[tracklets], spans, seen, rows, looks, views, upright)


def _cut_rows(recording: Recording, threshold: float) -> Int64:
    """Rows of sightings that begin a piece."""
    same = np.diff(recording.tracklets, prepend=-1) == 0
    risky = _after_gap(recording) | _after_jump(recording) | _after_meeting(recording)
    risky |= _after_change_of_looks(recording, threshold)
    return np.flatnonzero(~same | risky)


def _after_gap(recording: Recording) -> Bool:
    """[N] True for sightings long after the one before."""
    return np.asarray(np.diff(recording.frames, prepend=0) > GAP_S * recording.rate)


def _after_jump(recording: Recording) -> Bool:
    """[N] True for sightings farther from the one before than anybody walks."""
    jump: Bool = np.zeros(len(recording.frames), np.bool_)
    if len(jump) < 2:
        return jump
    step = np.linalg.norm(np.diff(recording.map_xy, axis=0), axis=1)
    variance = recording.spread[:, 0] + recording.spread[:, 2]
    error = np.sqrt(variance[1:] + variance[:-1])
    walked = WALKING_SPEED_M_S * np.diff(recording.frames) / recording.rate
    with np.errstate(invalid="ignore"):
        jump[1:] = step > walked + JUMP_SIGMAS * error
    return jump


def _after_meeting(recording: Recording) -> Bool:
    """[N] True for the sighting after a track's box has overlapped another's most, once a meeting."""
    overlap = _overlaps(recording)
    meeting = overlap >= MEETING_IOU
    begins = meeting & ~np.append(False, meeting[:-1] & (np.diff(recording.tracklets) == 0))[: len(meeting)]
    number = np.cumsum(begins)
    order = np.flatnonzero(meeting)
    order = order[np.lexsort((-overlap[order], number[order]))]
    peaks = order[np.append(True, np.diff(number[order]) > 0)[: len(order)]]
    after: Bool = np.zeros(len(overlap), np.bool_)
    after[np.minimum(peaks + 1, len(overlap) - 1)] = True
    return after


def _after_change_of_looks(recording: Recording, threshold: float) -> Bool:
    """[N] True for sightings from which a tracklet looks like somebody else than before."""
    changes: Bool = np.zeros(len(recording.frames), np.bool_)
    count = np.bincount(recording.look_tracklets, minlength=len(recording))
    ends = np.cumsum(count)
    first_rows = np.searchsorted(recording.tracklets, np.arange(len(recording) + 1))
    for tracklet in np.flatnonzero(count >= 2 * LEAST_VIEWS).tolist():
        waiting = [(int(ends[tracklet] - count[tracklet]), int(ends[tracklet]))]
        while waiting:
            begin, end = waiting.pop()
            middle = _change(recording.looks[begin:end], threshold)
            if middle:
                waiting += [(begin, begin + middle), (begin + middle, end)]
                rows = slice(*first_rows[tracklet : tracklet + 2].tolist())
                after = np.searchsorted(recording.frames[rows], recording.look_frames[begin + middle])
                changes[min(rows.start + after, rows.stop - 1)] = True
    return changes


def _change(looks: Float32, threshold: float) -> int:
    """Before which of the looks [V, D] those until then and those from then on are least alike; 0 for nowhere."""
    if len(looks) < 2 * LEAST_VIEWS:
        return 0
    sums = np.cumsum(looks, axis=0, dtype=np.float64)
    before, after = sums[LEAST_VIEWS - 1 : -LEAST_VIEWS], sums[-1] - sums[LEAST_VIEWS - 1 : -LEAST_VIEWS]
    cosine = (normalised(before) * normalised(after)).sum(axis=1)
    least = int(cosine.argmin())
    return least + LEAST_VIEWS if cosine[least] < threshold else 0


def _upright(recording: Recording, first_rows: Int64, tracklets: Int64) -> Bool:
    """[F] by the mean stature of a piece, or of its whole tracklet, since walls hide feet for a while."""
    owner = np.searchsorted(first_rows, np.arange(len(recording.frames)), "right") - 1
    own = _mean_statures(recording, owner, len(first_rows))
    whole = _mean_statures(recording, recording.tracklets, len(recording))
    return _is_upright(own) | _is_upright(whole)[tracklets]


def _is_upright(stature: Float64) -> Bool:
    return np.asarray((stature >= SHORTEST) & (stature <= TALLEST), np.bool_)


def _mean_statures(recording: Recording, owner: Int64, count: int) -> Float64:
    """[count] over the sightings of each owner; NaN where none is known."""
    known = np.isfinite(recording.statures)
    seen = np.bincount(owner[known], minlength=count)
    total = np.bincount(owner[known], recording.statures[known], count)
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)


def _overlaps(recording: Recording) -> Float32:
    """[N] largest overlap of each sighting's box with another of its camera at its tick."""
    largest = np.zeros(len(recording.frames), np.float32)
    for rows in recording.moments():
        if len(rows) > 1:
            found = iou(recording.boxes[rows], recording.boxes[rows])
            np.fill_diagonal(found, 0)
            largest[rows] = found.max(axis=1)
    return largest


def _mean_looks(recording: Recording, tracklets: Int64, begins: Int64) -> tuple[Float64, Int64]:
    dimension = recording.looks.shape[1]
    sums, views = np.zeros((len(tracklets), dimension)), np.zeros(len(tracklets), np.int64)
    if not len(recording.looks):
        return sums, views
    base = int(max(begins.max(initial=0), recording.look_frames.max())) + 1
    owner = np.searchsorted(tracklets * base + begins, recording.look_tracklets * base + recording.look_frames, "right")
    np.add.at(sums, owner - 1, recording.looks)
    np.add.at(views, owner - 1, 1)
    return normalised(sums), views
