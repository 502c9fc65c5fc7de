from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.association import Associator, CameraResult
from orchestrator.errors import ModelContractError
from orchestrator.homography import Homography
from orchestrator.intake import CameraInput
from orchestrator.settings import Settings
from orchestrator.site import Camera, Environment
from orchestrator.values import Detections

RATE = 12.0
SIZE = (720, 1280)
SIDE_M = 12.0
GRID = np.stack(np.meshgrid(np.linspace(1, SIDE_M - 1, 4), np.linspace(1, SIDE_M - 1, 4)), axis=-1).reshape(-1, 2)


class View:
    """A pinhole camera 4 m above a corner of the square, looking at its middle."""

    def __init__(self, x: float, y: float) -> None:
        self.eye = np.array([x, y, 4.0])
        forward = np.array([SIDE_M / 2, SIDE_M / 2, 0]) - self.eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        self.axes = np.stack([right, np.cross(forward, right), forward])

    def pixels(self, places: np.ndarray, height: float) -> np.ndarray:
        points = np.column_stack([places, np.full(len(places), height)]) - self.eye
        x, y, depth = (points @ self.axes.T).T
        return np.stack([640 + 700 * x / depth, 360 + 700 * y / depth], axis=1)


VIEWS = {"c1": View(-6, -6), "c2": View(SIDE_M + 6, -6), "c3": View(SIDE_M + 6, SIDE_M + 6)}


class Place:
    """Five people who walk about a square that three cameras see whole; detections jitter and miss."""

    def __init__(self, seed: int, dimension: int) -> None:
        self.random = np.random.default_rng(seed)
        self.places = self.random.uniform(2, SIDE_M - 2, (5, 2))
        self.goals = self.random.uniform(2, SIDE_M - 2, (5, 2))
        self.looks = self.random.normal(size=(5, dimension))

    def tick(self) -> tuple[list[CameraInput], dict[str, np.ndarray]]:
        """Inputs of all cameras, and the true person of each of their detections."""
        way = self.goals - self.places
        length = np.linalg.norm(way, axis=1, keepdims=True)
        self.places = self.places + way / length * 1.2 / RATE
        there = length[:, 0] < 0.3
        self.goals[there] = self.random.uniform(2, SIDE_M - 2, (there.sum(), 2))
        inputs, truth = [], {}
        for camera_id, view in VIEWS.items():
            seen = np.flatnonzero(self.random.random(5) > 0.05)
            inputs.append(self._see(camera_id, view, seen))
            truth[camera_id] = seen
        return inputs, truth

    def _see(self, camera_id: str, view: View, seen: np.ndarray) -> CameraInput:
        feet, heads = view.pixels(self.places[seen], 0.0), view.pixels(self.places[seen], 1.75)
        height = feet[:, 1] - heads[:, 1]
        boxes = np.stack([feet[:, 0] - height / 5, heads[:, 1], feet[:, 0] + height / 5, feet[:, 1]], axis=1)
        boxes += self.random.normal(0, 0.02, boxes.shape) * height[:, None]
        looks = self.looks[seen] + self.random.normal(0, 0.3, (len(seen), self.looks.shape[1]))
        looks /= np.linalg.norm(looks, axis=1, keepdims=True) if looks.shape[1] else 1
        boxes = boxes.clip(0, [SIZE[1], SIZE[0]] * 2).astype(np.float32)
        return CameraInput(camera_id, SIZE, Detections(boxes, np.full(len(seen), 0.9, np.float32)), looks.astype("f4"))


def associator(blind: tuple[str, ...] = (), area: tuple[tuple[float, float], ...] | None = None) -> Associator:
    cameras = {camera_id: Camera(id=camera_id, prefix=camera_id) for camera_id in VIEWS}
    environment = Environment(id="e", cameras=cameras, area=area)
    maps = {name: Homography.fit(view.pixels(GRID, 0.0), GRID) for name, view in VIEWS.items() if name not in blind}
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    return Associator(settings, environment, list(cameras.values()), maps, RATE, "0123456789abcdef")


def purity(subject: Associator, place: Place, ticks: int) -> tuple[float, int]:
    """Share of sightings that carry the id that is most often their person's, and the number of ids."""
    votes: dict[str | None, np.ndarray] = {}
    counted: list[tuple[int, str, int]] = []
    for tick in range(ticks):
        inputs, truth = place.tick()
        for result in subject.update(tick, inputs):
            people = truth[result.camera_id][result.tracks.detection_rows]
            counted += zip(people, [result.camera_id] * len(people), result.tracks.track_ids.tolist(), strict=True)
    names = subject.bindings()
    for person, camera_id, track in counted:
        votes.setdefault(names.get((camera_id, track)), np.zeros(5))[person] += 1
    chosen = {int(vote.argmax()): vote.max() for _, vote in sorted(votes.items(), key=lambda item: item[1].max())}
    return sum(chosen.values()) / len(counted), len(set(names.values()))


@pytest.mark.parametrize(("dimension", "blind"), [(32, ()), (0, ()), (32, ("c2",)), (32, tuple(VIEWS))])
def test_people_keep_one_id_across_cameras(dimension, blind):
    """By both, by geometry alone, with one camera off the map, and by looks alone."""
    right, ids = purity(associator(blind), Place(1, dimension), 180)
    assert right > 0.85
    assert ids <= 8


def assert_same(left: list[CameraResult], right: list[CameraResult]) -> None:
    for one, other in zip(left, right, strict=True):
        assert one.camera_id == other.camera_id
        assert one.identities.global_ids == other.identities.global_ids
        np.testing.assert_array_equal(one.identities.map_xy, other.identities.map_xy)
        np.testing.assert_array_equal(one.tracks.track_ids, other.tracks.track_ids)
        np.testing.assert_array_equal(one.embeddings, other.embeddings)


def test_a_restored_associator_goes_on_as_the_unbroken_one():
    place, again = Place(2, 16), Place(2, 16)
    unbroken, before, after = associator(), associator(), associator()
    for tick in range(50):
        assert_same(unbroken.update(tick, place.tick()[0]), before.update(tick, again.tick()[0]))
    after.restore(before.snapshot())
    assert after.bindings() == before.bindings() != {}
    for tick in range(50, 100):
        assert_same(unbroken.update(tick, place.tick()[0]), after.update(tick, again.tick()[0]))
    assert after.bindings() == unbroken.bindings()


def test_global_ids_count_from_one_under_the_task():
    subject, place = associator(), Place(3, 0)
    for tick in range(20):
        results = subject.update(tick, place.tick()[0])
    names = {name for result in results for name in result.identities.global_ids if name}
    assert {f"01234567-{number}" for number in range(1, 6)} <= set(subject.bindings().values())
    assert names <= set(subject.bindings().values())


def test_results_follow_the_inputs_when_cameras_are_absent():
    subject, place = associator(), Place(4, 8)
    inputs = place.tick()[0]
    assert [result.camera_id for result in subject.update(0, inputs[1:][::-1])] == ["c3", "c2"]
    assert subject.update(1, []) == []
    nobody = CameraInput("c1", SIZE, Detections.empty(), np.zeros((0, 8), np.float32))
    assert len(subject.update(2, [nobody])[0].tracks) == 0


def test_places_are_metres_and_nan_without_a_homography():
    subject, place = associator(blind=("c2",)), Place(5, 0)
    for tick in range(3):
        inputs, truth = place.tick()
        first, second, _ = subject.update(tick, inputs)
    true = place.places[truth["c1"][first.tracks.detection_rows]]
    assert np.abs(first.identities.map_xy - true).max() < 1.5
    assert np.isnan(second.identities.map_xy).all()


def test_who_turns_out_to_stand_outside_the_area_has_no_place():
    """Feet that are hidden seem farther from the camera than they are: inside, as far as the detection says."""
    subject, view = associator(area=((4, 4), (12, 4), (12, 12), (4, 12))), VIEWS["c1"]
    places = {}
    for tick in range(90):
        along = 7 - tick / 20
        feet, head = (view.pixels(np.array([[along, along]]), height)[0] for height in (0.0, 1.75))
        tall = feet[1] - head[1]
        bottom = feet[1] - (0.45 * tall if tick >= 60 else 0)
        box = np.array([[feet[0] - tall / 5, head[1], feet[0] + tall / 5, bottom]], np.float32)
        seen = CameraInput("c1", SIZE, Detections(box, np.full(1, 0.9, np.float32)), np.zeros((1, 0), np.float32))
        (result,) = subject.update(tick, [seen])
        if len(result.tracks):
            places[tick] = result.identities.map_xy[0]
    assert np.abs(places[50] - (7 - 50 / 20)).max() < 0.3
    assert np.isfinite(places[59]).all()
    assert np.isnan(places[80]).all()


def test_refreshed_looks_are_named_and_of_length_one():
    subject, place, seen = associator(), Place(6, 8), []
    for tick in range(30):
        subject.update(tick, place.tick()[0])
        seen += subject.refreshed()
    assert {item.global_id for item in seen} <= set(subject.bindings().values())
    assert {item.camera_id for item in seen} <= set(VIEWS)
    np.testing.assert_allclose([np.linalg.norm(item.embedding) for item in seen], 1, atol=1e-3)


def test_embeddings_of_another_length_are_refused():
    subject, place = associator(), Place(7, 8)
    subject.update(0, place.tick()[0])
    with pytest.raises(ModelContractError, match="camera c1: embeddings of 16 values, 8 until now"):
        subject.update(1, Place(7, 16).tick()[0])


def test_a_state_of_other_cameras_is_refused():
    with pytest.raises(ValueError, match="not the state of an associator"):
        associator().restore(b"")


def test_a_recording_may_begin_with_nobody() -> None:
    place, people = Place(5, 16), associator()
    empty = [CameraInput(camera, SIZE, Detections.empty(), np.zeros((0, 16), np.float32)) for camera in VIEWS]
    for tick in range(3):
        assert [len(result.tracks) for result in people.update(tick, empty)] == [0, 0, 0]
    for tick in range(3, 30):
        results = people.update(tick, place.tick()[0])
    assert all(len(result.tracks) for result in results)


def names_of(results: list[CameraResult]) -> dict[str, list[str | None]]:
    return {result.camera_id: list(result.identities.global_ids) for result in results}


def spoilt(kind: str, item: CameraInput) -> CameraInput:
    """The same with one fault."""
    boxes, scores, looks = (array.copy() for array in (item.detections.boxes, item.detections.scores, item.embeddings))
    if kind in {"nan", "inf"}:
        boxes[0, 2] = np.float32(kind)
    elif kind == "score":
        scores[0] = np.nan
    elif kind == "look":
        looks[0, 0] = np.nan
    elif kind == "length":
        looks = np.ones((len(looks), 3), np.float32)
    elif kind == "rows":
        looks = looks[1:]
    return replace(item, detections=Detections(boxes, scores), embeddings=looks)


@pytest.mark.parametrize("kind", ["nan", "inf", "score", "look", "length", "rows"])
def test_a_fault_of_one_camera_at_one_tick_stops_nobody(kind, caplog):
    """What cannot be used is left out and told once; everything else is as it would have been, then and later."""
    subject, clean, place, again = associator(), associator(), Place(8, 16), Place(8, 16)
    for tick in range(60):
        inputs, whole = place.tick()[0], again.tick()[0]
        if tick in {20, 21}:
            inputs[1] = spoilt(kind, inputs[1])
        found, expected = subject.update(tick, inputs), clean.update(tick, whole)
        for result, item in zip(found, inputs, strict=True):
            np.testing.assert_array_equal(result.tracks.boxes, item.detections.boxes[result.tracks.detection_rows])
    assert names_of(found) == names_of(expected)
    assert all(np.isfinite(seen.embedding).all() for seen in subject.refreshed())
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("camera c2, tick 20: ")


def test_ticks_out_of_order_and_repeated_cameras_are_refused_before_anything_changes():
    subject, clean, place, again = associator(), associator(), Place(9, 0), Place(9, 0)
    for tick in range(30):
        inputs = place.tick()[0]
        if tick == 10:
            with pytest.raises(ValueError, match="tick 9 after tick 9: ticks rise"):
                subject.update(9, inputs)
            with pytest.raises(ValueError, match="tick 10: camera c1 is given twice"):
                subject.update(10, [*inputs, inputs[0]])
            with pytest.raises(ValueError, match="tick 10: camera c9 takes no part"):
                subject.update(10, [*inputs, replace(inputs[0], camera_id="c9")])
        assert_same(subject.update(tick, inputs), clean.update(tick, again.tick()[0]))


def test_ticks_at_the_limit_of_what_files_may_say():
    """A recording need not begin at 0; a frame number is a 31-bit one."""
    early, late, place, again = associator(), associator(), Place(10, 8), Place(10, 8)
    first = 2**31 - 200
    for tick in range(40):
        assert names_of(early.update(tick, place.tick()[0])) == names_of(late.update(first + tick, again.tick()[0]))


def test_a_model_that_changed_between_costs_looks_and_no_names():
    """As when a worker takes a task up again after an export: tracks begin anew, and people go on where they stand."""
    before, place = associator(), Place(3, 16)
    for tick in range(40):
        shown = before.update(tick, place.tick()[0])
    names = {name for item in shown for name in item.identities.global_ids if name}
    after = associator()
    after.restore(before.snapshot())
    after.change_model(8)
    place.looks = place.random.normal(size=(5, 8))
    for tick in range(40, 70):
        shown = after.update(tick, place.tick()[0])
    assert {name for item in shown for name in item.identities.global_ids if name} == names
    assert min(item.tracks.track_ids.min() for item in shown) > 5
    assert {look.embedding.shape for look in after.refreshed()} <= {(8,)}


def test_cameras_in_another_order_are_not_taken_for_each_other():
    state = associator().snapshot()
    cameras = [Camera(id=name, prefix=name) for name in ("c2", "c1", "c3")]
    environment = Environment(id="e", cameras={camera.id: camera for camera in cameras})
    other = Associator(Settings(_env_file=None), environment, cameras, {}, RATE, "t")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="cameras c1, c2, c3, and the site file has c2, c1, c3"):
        other.restore(state)
