"""BoT-SORT as SpotOn runs it: for a camera that stands still, between numpy arrays.

BoxMOT's public ``update`` wraps arrays into torch structures and checks each several times, and asks its tracks for
their boxes one by one: with five people a frame, a third of its time. ``tailor`` and ``follow`` leave that out. What
may be matched is widened (``widen_search``), and where ticks are far apart first looks are kept
(``keep_first_looks``); else the tracks are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from boxmot.trackers.common.association.matching import embedding_distance

from orchestrator.settings import Settings
from orchestrator.values import Bool, Float32, Float64, Int64

NOMINAL_RATE = 30
"""BoxMOT scales its buffer by rate / 30; at 30 the buffer is counted in frames, which are ticks."""
MATCH_DISTANCE = 0.8
SECOND_MATCH_DISTANCE = 0.5
UNCONFIRMED_MATCH_DISTANCE = 0.7
PROXIMITY_DISTANCE = 0.5
"""1 - IoU limits of BoT-SORT (Aharon et al. 2022, arXiv:2206.14651, and its code), kept as published."""
WALK_HEIGHTS_S = 0.9
"""Body heights that somebody walks in a second: 1.5 m at 1.7 m."""
REACH_AT_ONCE = 0.3
"""Body heights by which a box and the filter's guess of it differ anyway, if the look is the same."""
STEP_AT_ONCE = 0.1
"""The same where nothing but the place speaks for it: two standard errors of a detector's box."""
NO_STEP, LONGEST_STEP = 0.5, 0.7
"""Costs of a match by nearness alone: more than that of boxes that overlap by half, and no more than what BoT-SORT
accepts of a tentative track."""
FIRST_LOOK_S = 0.3
"""Where the next tick is farther off, a first look counts. A wait for a second one, which keeps what was a person for
one tick only from being told, would then cost a good part of a short stay."""
LIKE_HEIGHT = 0.6
"""Least ratio of one person's two heights before and after a gap: they may have walked, or be cut by a frame's edge."""


def botsort_options(settings: Settings, rate: float, *, with_embeddings: bool) -> dict[str, bool | int | float]:
    """A detection over the threshold starts and continues tracks; one over the low threshold only continues."""
    return {
        "track_high_thresh": settings.detection_threshold,
        "new_track_thresh": settings.detection_threshold,
        "track_low_thresh": settings.low_detection_threshold,
        "track_buffer": settings.lost_track_ticks(rate),
        "frame_rate": NOMINAL_RATE,
        "match_thresh": MATCH_DISTANCE,
        "second_match_thresh": SECOND_MATCH_DISTANCE,
        "unconfirmed_match_thresh": UNCONFIRMED_MATCH_DISTANCE,
        "proximity_thresh": PROXIMITY_DISTANCE,
        "appearance_thresh": 1 - settings.reid_similarity,
        "use_embeddings": with_embeddings,
        "fuse_first_associate": False,
        "use_cmc": False,
        "variable_dt": True,
    }


def tailor(engine: Any, rate: float) -> None:
    """Replaces what BoxMOT's ``BotSort`` does with track objects one by one; ``follow`` then takes its ticks."""
    engine._association_boxes = _boxes_of
    engine.format_outputs = _ids_and_rows
    widen_search(engine, rate)
    keep_first_looks(engine, rate)


def follow(
    engine: Any, boxes: Float32, scores: Float32, features: Float32 | None, time_s: float
) -> tuple[Int64, Int64]:
    """One tick of a tailored engine.

    Args:
        engine: the ``BotSort``.
        boxes: [N, 4] xyxy, finite, with an area.
        scores: [N]
        features: [N, D] row by row with the boxes; None where it goes without.
        time_s: of the tick, later than the last one's.

    Returns:
        [M] the engine's ids of the confirmed tracks that took a detection, and [M] the rows of these detections.
    """
    time_s, engine._prediction_dt = engine._resolve_timing(None, time_s)
    detections = np.column_stack([boxes, scores, np.zeros(len(boxes))]).astype(np.float32)
    found: Int64 = engine._track_detections(detections, None, features)
    engine._last_timestamp_s = time_s
    return found[:, 0], found[:, 1]


def _boxes_of(tracks: Sequence[Any]) -> Any:
    """[N, 4] xyxy of tracks, where predicted, and of detections."""
    if not tracks:
        return np.zeros((0, 4), np.float32)
    xywh = np.array([track.xywh if track.mean is None else track.mean[:4] for track in tracks])
    half = xywh[:, 2:] / 2
    return np.hstack([xywh[:, :2] - half, xywh[:, :2] + half])


def _ids_and_rows(tracks: Sequence[Any], dtype: Any = None) -> Int64:  # noqa: ARG001 (BoxMOT names it)
    return np.array([(track.id, track.det_ind) for track in tracks], np.int64).reshape(-1, 2)


def widen_search(engine: Any, rate: float) -> None:
    """Lets looks and the length of a tick say more than in BotSort, which asks boxes of one person to overlap by half.

    Looks may speak against a match, so that people who cross do not swap ids: to the published cost (1 - IoU, or the
    cosine distance where that is less) comes the cosine distance by which two looks differ more than one person's do.
    And a track is taken up by its look wherever its person can have walked since it was last seen, as in DeepSORT
    (Wojke et al. 2017, arXiv:1703.07402): who comes out from behind something is seldom where the filter thinks, and
    was cut to half the height before (``_as_tall``).

    A track that was seen at the last tick, a tentative one among them, also takes the nearest box within a step's reach
    (``_steps``). At 12 ticks a second boxes that near overlap anyway; at 2 a walker has left the former box behind.
    """
    published = engine._unconfirmed_association_cost

    def gaps(tracks: list[Any]) -> Float64:
        """[T] ticks since each track was seen; those at which the camera gave no frame count too."""
        missed = max(0.0, (engine._prediction_dt or 0.0) * rate - 1)
        return np.array([engine.frame_count - track.frame_id for track in tracks]) + missed

    def compare(tracks: list[Any], detections: list[Any]) -> tuple[Float64, Float64]:
        """Cosine distances [T, N], 1 where there are no looks, and by how much they exceed one person's."""
        if not engine.use_embeddings:
            return np.ones((len(tracks), len(detections))), np.zeros((len(tracks), len(detections)))
        looks = embedding_distance(tracks, detections)
        return looks, np.clip(looks - engine.appearance_thresh, 0, None)

    def cost(tracks: list[Any], detections: list[Any]) -> Float32:
        if not tracks or not detections:
            return np.zeros((len(tracks), len(detections)), np.float32)
        apart, gap = engine.association_distance(tracks, detections), gaps(tracks)
        looks, excess = compare(tracks, detections)
        fresh = gap <= 1 + 1e-6
        away, like = _heights_away(tracks, detections), _like(tracks, detections)
        tall = like | _as_tall(tracks, detections, fresh)
        close = (apart <= engine.proximity_thresh) | (away <= _reach(REACH_AT_ONCE, gap / rate)) & tall
        alike = np.where((looks <= engine.appearance_thresh) & close, looks, 1.0)
        steps = np.where(fresh[:, None], _steps(away, like, gap / rate), 1.0)
        return np.asarray(np.minimum(np.minimum(apart, steps), alike) + excess, np.float32)

    def tentative_cost(tracks: list[Any], detections: list[Any]) -> Float32:
        if not tracks or not detections:
            return np.zeros((len(tracks), len(detections)), np.float32)
        _, excess = compare(tracks, detections)
        steps = _steps(_heights_away(tracks, detections), _like(tracks, detections), gaps(tracks) / rate)
        return np.asarray(np.minimum(published(tracks, detections), steps + excess), np.float32)

    engine._first_association_cost = cost
    engine._unconfirmed_association_cost = tentative_cost


def keep_first_looks(engine: Any, rate: float) -> None:
    """Has no track be tentative where ticks are far apart: it is told at once, and lost like any other when missed.

    BotSort tells nobody before the second look, and drops whoever is missed right after the first: in a crowd, people
    who are seen now and then would be seen for the first time again and again.
    """
    if 1 / rate <= FIRST_LOOK_S:
        return
    published = engine._initialize_new_tracks

    def begin(rows: Sequence[int], begun: list[Any], detections: list[Any]) -> None:
        before = len(begun)
        published(rows, begun, detections)
        for track in begun[before:]:
            track.is_activated = True

    engine._initialize_new_tracks = begin


def _steps(away: Float64, like: Bool, gap_s: Float64) -> Float64:
    """The cost [T, N] of a step of so many heights to a detection; 1 beyond a walk, and for no like height."""
    share = away / _reach(STEP_AT_ONCE, gap_s)
    return np.where((share <= 1) & like, NO_STEP + (LONGEST_STEP - NO_STEP) * share, 1.0)


def _reach(at_once: float, gap_s: Float64) -> Float64:
    """[T, 1] body heights that a person unseen for [T] seconds can be away."""
    return np.asarray(at_once + WALK_HEIGHTS_S * gap_s[:, None])


def _heights_away(tracks: list[Any], detections: list[Any]) -> Float64:
    """[T, N] how far each detection is from where each track should be, in heights of the taller of the two boxes."""
    track_xywh = np.array([track.mean[:4] for track in tracks])
    found_xywh = np.array([detection.xywh for detection in detections])
    height = np.maximum(track_xywh[:, None, 3], found_xywh[None, :, 3])
    offset = np.linalg.norm(track_xywh[:, None, :2] - found_xywh[None, :, :2], axis=2)
    return np.asarray(offset / height)


def _like(tracks: list[Any], detections: list[Any]) -> Bool:
    """[T, N] whether a detection has about the height that the track should have by now."""
    return _alike([track.mean[3] for track in tracks], detections)


def _as_tall(tracks: list[Any], detections: list[Any], fresh: Bool) -> Bool:
    """[T, N] whether a detection has about the height of the tallest box that a track took before it was lost."""
    tallest = [
        0.0 if seen else max((box[3] - box[1] for box in track.history_observations), default=0.0)
        for track, seen in zip(tracks, fresh, strict=True)
    ]
    return _alike(tallest, detections)


def _alike(heights: Sequence[float], detections: list[Any]) -> Bool:
    one, other = np.array(heights)[:, None], np.array([detection.xywh[3] for detection in detections])[None]
    return np.asarray(np.minimum(one, other) >= LIKE_HEIGHT * np.maximum(one, other))
