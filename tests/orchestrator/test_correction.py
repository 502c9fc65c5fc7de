"""The second pass from what is stored to names by stretch: bad input, and places that statures speak against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.correction import StoredTracks, name_again
from orchestrator.errors import ModelContractError
from orchestrator.homography import load_homographies
from orchestrator.settings import Settings
from orchestrator.site import Environment

RATE = 4.0
PIXELS = [[200, 200], [440, 200], [600, 480], [40, 480]]
MAPPED = {"image_points": PIXELS, "map_points": [[0, 10], [10, 10], [10, 0], [0, 0]]}
CAMERAS = {"a": {"homography": MAPPED}, "b": {"homography": MAPPED}, "c": {}}
ENVIRONMENT = Environment.model_validate(
    {"id": "hall", "cameras": {name: {"id": name, "prefix": name, **own} for name, own in CAMERAS.items()}}
)
LARGEST = 2**63 - 1


def stored(track=1, ticks=range(8), place=(5, 5), look=None, heads=0.7):
    """Somebody who stands still; ``heads`` is how high the box is, in units of its feet's distance from the horizon."""
    count = len(ticks)
    homography = load_homographies(ENVIRONMENT)["a"]
    places = np.tile(np.array(place, float), (count, 1))
    feet = np.nan_to_num(homography.to_image(places), nan=300.0)
    height = heads * 100 * homography.weight(feet) / homography.weight(np.array([[320.0, 480.0]]))
    boxes = np.column_stack([feet[:, 0] - 10, feet[:, 1] - height, feet[:, 0] + 10, feet[:, 1]]).astype(np.float32)
    ids, frames = np.full(count, track), np.array(ticks, np.int64)
    seen = slice(0, count if look is not None else 0)
    looks = np.tile(np.array(look if look is not None else [], np.float32), (count if look is not None else 0, 1))
    return StoredTracks(ids, frames, boxes, places, ids[seen], frames[seen], looks)


def both(*parts):
    """The rows of several tracks of one camera."""
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in StoredTracks.__slots__)
    return StoredTracks(*columns)


NOBODY = stored(ticks=range(0))


def names_of(names, **tracks):
    """Global ids by camera and track, stretch by stretch."""
    found = name_again(
        Settings(_env_file=None),
        ENVIRONMENT,
        list(ENVIRONMENT.cameras.values()),
        load_homographies(ENVIRONMENT),
        RATE,
        {name: tracks.get(name, NOBODY) for name in CAMERAS},
        names,
        "t",
    )
    by_track: dict[tuple[str, int], list[str | None]] = {}
    for item in found:
        by_track.setdefault((item.camera_id, item.track_id), []).append(item.global_id)
    return by_track


def test_nobody_and_one_tracklet():
    assert names_of({}) == {}
    assert names_of({("a", 1): "t-4"}, a=stored(ticks=range(1))) == {("a", 1): ["t-4"]}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_places_that_are_not_known_leave_names_as_they_are(bad):
    lost = replace(stored(), map_xy=np.full((8, 2), bad))
    names = {("a", 1): "t-1", ("b", 1): "t-2", ("c", 1): "t-3"}
    assert names_of(names, a=lost, b=lost, c=lost) == {key: [name] for key, name in names.items()}


def test_places_alone_serve_where_there_are_no_embeddings():
    names = {("a", 1): "t-1", ("b", 1): "t-2", ("c", 1): "t-3"}
    found = names_of(names, a=stored(), b=stored(), c=stored(place=(np.nan, np.nan)))
    assert found["a", 1] == found["b", 1] != found["c", 1] == ["t-3"]


def test_looks_alone_serve_for_a_camera_without_a_homography():
    names = {("a", 1): "t-1", ("b", 1): "t-2", ("c", 1): "t-3"}
    nowhere = (np.nan, np.nan)
    found = names_of(names, a=stored(look=[1, 0]), b=stored(place=(9, 9)), c=stored(place=nowhere, look=[1, 0]))
    assert found["a", 1] == found["c", 1] != found["b", 1]


def test_embeddings_of_two_lengths_are_an_error_that_names_the_cameras():
    with pytest.raises(ModelContractError, match="3 values in camera b, of 2 in camera a"):
        names_of({}, a=stored(look=[1, 0]), b=stored(look=[1, 0, 0]))


def test_ids_at_the_limit_of_int64():
    tracks = both(stored(LARGEST), stored(LARGEST - 1, place=(9, 9)))
    name = f"t-{LARGEST // 2}"
    found = names_of({("a", LARGEST): name, ("a", LARGEST - 1): "t-2", ("b", LARGEST): "t-2"}, a=tracks, b=tracks)
    assert found["a", LARGEST] == [name]
    assert found["a", LARGEST - 1] == ["t-2"]


def test_a_track_that_is_twice_at_one_tick_counts_once():
    names = {("a", 1): "t-1", ("b", 1): "t-2"}
    twice = both(stored(), stored(ticks=range(3, 8), place=(9, 9)))
    assert names_of(names, a=twice, b=stored()) == {("a", 1): ["t-1"], ("b", 1): ["t-1"]}


def test_who_sits_does_not_become_somebody_by_a_wrong_place():
    crowd = [stored(track, range(20), (track, 2 + track)) for track in range(1, 6)]
    sits = stored(9, range(20), (5, 2), heads=0.3)  # as online had it: one of those who stand
    names = {("a", track): f"t-{track}" for track in range(1, 6)} | {("b", 9): "t-3"}
    others = both(*(stored(track, range(20), (track, 2 + track)) for track in (1, 2, 4, 5)), sits)
    found = names_of(names | {("b", track): f"t-{track}" for track in (1, 2, 4, 5)}, a=both(*crowd), b=others)
    assert found["b", 9] == ["t-3"]
    assert len({name for found_names in found.values() for name in found_names}) == 5
