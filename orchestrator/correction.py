"""The second pass over a recording's tracks, wherever they are kept: rows of each camera in, names by stretch out.

Synchronous; the live pipeline and recorded detections go through the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.association import place_spread, quadrants_of, topology_of
from orchestrator.errors import ModelContractError
from orchestrator.feet import CUT_FOOT_ERROR, FOOT_ERROR, Feet, statures
from orchestrator.homography import Homography, foot_points
from orchestrator.identity.ids import global_id, person_of
from orchestrator.identity.recording import Looks, Sightings, make_recording
from orchestrator.identity.second_pass import look_again
from orchestrator.settings import Settings
from orchestrator.site import Camera, Environment
from orchestrator.values import Bool, Float32, Float64, Int64

HIDDEN_FOOT_ERROR = 0.2
"""Standard error downwards, as a share of the person's height, of feet that stature placed. More than at one tick: over
the seconds for which somebody is hidden, a wrong stature is wrong to one side."""
EDGE = 0.995
"""Boxes that reach this share of the way to the lowest edge of all are taken to be cut by the frame."""


@dataclass(frozen=True, slots=True)
class StoredTracks:
    """The tracks of one camera, row by row in any order; of a long recording a sample of the ticks will do."""

    track_ids: Int64
    """[N]"""
    frames: Int64
    """[N] ticks."""
    boxes: Float32
    """[N, 4] xyxy px."""
    map_xy: Float64
    """[N, 2] metres; NaN where unknown."""
    look_track_ids: Int64
    """[L]"""
    look_frames: Int64
    """[L] ticks."""
    looks: Float32
    """[L, D] embeddings."""


@dataclass(frozen=True, slots=True)
class NamedStretch:
    """Who a track is from one tick to another, both inclusive."""

    camera_id: str
    track_id: int
    first_frame: int
    last_frame: int
    before: str | None
    """The global id that the online association gave."""
    global_id: str | None


def name_again(
    settings: Settings,
    environment: Environment,
    cameras: Sequence[Camera],
    homographies: Mapping[str, Homography],
    rate: float,
    tracks: Mapping[str, StoredTracks],
    names: Mapping[tuple[str, int], str],
    prefix: str,
) -> list[NamedStretch]:
    """Names the tracks of a whole recording; depends on its arguments alone.

    Args:
        settings: for the Re-ID threshold.
        environment: for its overlaps and exits.
        cameras: that took part.
        homographies: by camera id.
        rate: ticks a second.
        tracks: by camera id.
        names: global ids that the online association gave to (camera id, track id): ``prefix-number``.
        prefix: of the global ids of people whom it did not know.

    Returns:
        All tracks, stretch by stretch; those of one track follow each other without a gap.

    Raises:
        ModelContractError: the embeddings of two cameras differ in length.
    """
    _check_dimensions(tracks)
    row_of = {camera.id: row for row, camera in enumerate(cameras)}
    people = [((row_of[camera], track), person_of(name)) for (camera, track), name in names.items()]
    recording = make_recording(
        rate,
        [_sightings(tracks[camera.id], homographies.get(camera.id), camera.resolution) for camera in cameras],
        [
            Looks(item.look_track_ids, item.look_frames, item.looks)
            for item in (tracks[camera.id] for camera in cameras)
        ],
        people,
    )
    found = look_again(recording, topology_of(environment, cameras), settings.reid_similarity)
    return [
        NamedStretch(
            cameras[recording.cameras[row]].id,
            track := int(recording.track_ids[row]),
            first,
            last,
            names.get((cameras[recording.cameras[row]].id, track)),
            global_id(prefix, person) if person >= 0 else None,
        )
        for row, (first, last), person in zip(
            found.tracklets.tolist(), found.spans.tolist(), found.people.tolist(), strict=True
        )
    ]


def _check_dimensions(tracks: Mapping[str, StoredTracks]) -> None:
    known = [(camera, item.looks.shape[1]) for camera, item in tracks.items() if len(item.looks)]
    for camera, values in known[1:]:
        first, wanted = known[0]
        if values != wanted:
            raise ModelContractError(f"embeddings of {values} values in camera {camera}, of {wanted} in camera {first}")


def _sightings(item: StoredTracks, homography: Homography | None, resolution: tuple[int, int] | None) -> Sightings:
    known = np.isfinite(item.map_xy).all(axis=1, keepdims=True)
    item = replace(item, map_xy=np.where(known, item.map_xy, np.nan))
    spread, stature = np.full((len(item.frames), 3), np.nan), np.zeros(len(item.frames))
    points = foot_points(item.boxes)
    if homography is not None:
        feet = _feet(item, homography)
        points = np.where(known, feet.points, points)
        spread = place_spread(homography, feet)
        stature = statures(homography, item.boxes, ~_cut(item.boxes))
    width, height = resolution or item.boxes[:, 2:].max(axis=0, initial=1.0).tolist()
    quadrants = quadrants_of(points, (height, width))
    return Sightings(item.track_ids, item.frames, item.boxes, item.map_xy, spread, stature, quadrants)


def _cut(boxes: Float32) -> Bool:
    """[N] whether the frame cuts head or feet."""
    lowest = boxes[:, 3].max(initial=0.0)
    return np.asarray((boxes[:, 1] <= (1 - EDGE) * lowest) | (boxes[:, 3] >= EDGE * lowest), np.bool_)


def _feet(item: StoredTracks, homography: Homography) -> Feet:
    """Where the places on the map lie in the image; those off their box's lower edge were put there by stature."""
    points = homography.to_image(item.map_xy)
    bottom = item.boxes[:, 3].astype(np.float64)
    height = bottom - item.boxes[:, 1]
    with np.errstate(invalid="ignore"):
        moved = np.abs(points[:, 1] - bottom) > FOOT_ERROR / 2 * height
    cut = bottom >= EDGE * bottom.max(initial=0.0)
    tall = points[:, 1] - item.boxes[:, 1]
    downwards = np.where(moved, HIDDEN_FOOT_ERROR * tall, np.where(cut, CUT_FOOT_ERROR, FOOT_ERROR) * height)
    return Feet(points, np.column_stack([FOOT_ERROR * height, downwards]), np.ones(len(points), np.bool_))
