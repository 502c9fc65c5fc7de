"""The CPU half of a tick: detections of all cameras in, tracks with a name and a place on the map out.

Synchronous and single-threaded; the live pipeline and recorded detections go through the same code.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.feet import Feet, FootModel
from orchestrator.homography import Homography, foot_points
from orchestrator.identity.gallery import Look
from orchestrator.identity.ids import global_id, prefix_of
from orchestrator.identity.online import IdentityAssociator, IdentityRules
from orchestrator.identity.quality import quality_of
from orchestrator.identity.returning import Forgotten, Newcomer
from orchestrator.identity.tables import NOBODY, Sightings
from orchestrator.identity.topology import Topology, make_topology
from orchestrator.intake import CameraInput, Intake
from orchestrator.polygons import inside
from orchestrator.settings import Settings
from orchestrator.site import Camera, Environment, Quadrant
from orchestrator.tracking.factory import create_tracker
from orchestrator.values import Bool, Float32, Float64, Identities, Int64, Tracks

CUT_MARGIN = 0.005
"""A box that ends within this share of the frame's size from an edge counts as cut by it."""
FORGET_EVERY = 100
"""Ticks between two looks for tracks that can be forgotten."""
MAP_ERROR_M = 0.25
"""Added error of a place: calibration, and that cameras from two sides see two sides of the feet."""


@dataclass(frozen=True, slots=True)
class CameraResult:
    """What association made of it."""

    camera_id: str
    tracks: Tracks
    identities: Identities
    """Row by row with ``tracks``."""
    spread: Float64
    """[N, 3] covariance of the places as xx, xy, yy, square metres; NaN where unknown. Row by row with ``tracks``."""
    embeddings: Float32
    """[N, D] row by row with ``tracks``."""


class Associator:
    """Tracks and names the people of one task. Not thread-safe."""

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        cameras: Sequence[Camera],
        homographies: Mapping[str, Homography],
        rate: float,
        task_id: str,
        *,
        recalls: bool = False,
    ) -> None:
        """One associator per task.

        Args:
            settings: tracker, thresholds, gallery.
            environment: for its overlaps and exits.
            cameras: those that take part.
            homographies: by camera id; a camera without one is named by looks alone.
            rate: ticks per second.
            task_id: its first eight characters begin every global id.
            recalls: whether ``newcomers`` are asked for, and what is found is told to ``recall``.

        Raises:
            SettingsError: the tracker named in the settings cannot be used.
        """
        ids = [camera.id for camera in cameras]
        rules = IdentityRules(
            rate=rate,
            similarity=settings.reid_similarity,
            ema=settings.gallery_ema,
            refresh_ticks=settings.gallery_refresh_frames,
            topology=topology_of(environment, cameras),
            most_people=settings.gallery_max_people,
            recalls=recalls,
        )
        self._camera_ids = ids
        self._intake = Intake(ids)
        self._camera_rows = {camera_id: row for row, camera_id in enumerate(ids)}
        self._homographies = homographies
        self._feet = {name: FootModel(found) for name, found in homographies.items() if name in self._camera_rows}
        self._area = environment.area
        self._prefix = prefix_of(task_id)
        self._trackers = {camera_id: create_tracker(settings, camera_id, rate) for camera_id in ids}
        self._identity = IdentityAssociator(len(ids), rules)
        self._detection_threshold = settings.detection_threshold
        self._remembered_ticks = 2 * settings.lost_track_ticks(rate)

    def update(self, tick: int, inputs: Sequence[CameraInput]) -> list[CameraResult]:
        """Takes one tick; cameras that gave no frame are left out of ``inputs``.

        Args:
            tick: global frame index, rising.
            inputs: one per camera.

        Returns:
            One result per input, in the same order.

        Raises:
            ValueError: the tick does not rise, or a camera is unknown or given twice; nothing has changed by then.
            ModelContractError: the embeddings of all cameras are of another length than before.
        """
        usable = self._intake.take(tick, inputs)
        inputs = [each.item for each in usable]
        tracks = [self._track(tick, item) for item in inputs]
        looks = [_taken(item.embeddings, found.detection_rows) for item, found in zip(inputs, tracks, strict=True)]
        sightings = [self._sight(tick, *row) for row in zip(inputs, tracks, looks, strict=True)]
        people = self._identity.update(tick, self._joined(sightings))
        ends = np.cumsum([len(found) for found in tracks])
        return [
            CameraResult(
                each.item.camera_id,
                replace(found, detection_rows=each.rows[found.detection_rows]),
                Identities([self._global_id(p) for p in named.tolist()], self._within(seen.map_xy)),
                seen.spread,
                look,
            )
            for each, found, named, seen, look in zip(
                usable, tracks, np.split(people, ends[:-1]) if inputs else [], sightings, looks, strict=True
            )
        ]

    def bindings(self) -> dict[tuple[str, int], str]:
        """Global id of every (camera id, track id) named so far; a later call may correct a young one."""
        return {
            (self._camera_ids[camera], track): global_id(self._prefix, person)
            for (camera, track), person in self._identity.names.items()
        }

    def renamed(self) -> frozenset[tuple[str, int]]:
        """Those (camera id, track id) that were told under another name than ``bindings`` has for them."""
        return frozenset((self._camera_ids[camera], track) for camera, track in self._identity.renamed)

    def refreshed(self) -> list[Look]:
        """The views of people that changed at the last tick, for the gallery."""
        changed = self._identity.refreshed()
        columns = (changed.people, changed.views, changed.cameras, changed.map_xy, changed.qualities)
        return [
            Look(global_id(self._prefix, person), view, self._camera_ids[camera], place_of(*xy), quality, look)
            for (person, view, camera, xy, quality), look in zip(
                zip(*(column.tolist() for column in columns), strict=True), changed.looks, strict=True
            )
        ]

    def newcomers(self) -> tuple[list[Newcomer], frozenset[int]]:
        """New people who may be forgotten ones, and the people in memory, by number: global ids end in it, plus 1."""
        newcomers = self._identity.newcomers()
        return newcomers, self._identity.remembered if newcomers else frozenset()

    def recall(self, answers: Mapping[int, Sequence[Forgotten]]) -> None:
        """Takes in, before a tick, what was found of newcomers."""
        self._identity.recall(answers)

    def snapshot(self) -> bytes:
        """The whole state: an associator made with the same arguments that restores it goes on as this one would."""
        parts = {f"tracker_{camera_id}": tracker.snapshot() for camera_id, tracker in self._trackers.items()}
        parts["identity"] = self._identity.snapshot()
        buffer = io.BytesIO()
        arrays = {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}
        for camera_id, model in self._feet.items():
            arrays |= {f"feet_{name}_{camera_id}": column for name, column in model.state().items()}
        np.savez(buffer, dimension=self._intake.dimension, cameras=np.array(self._camera_ids), **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    def restore(self, state: bytes) -> None:
        """Takes over a state made by ``snapshot``.

        Raises:
            ValueError: the bytes are no such state, or one of other cameras.
        """
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as arrays:
                self._check_cameras(arrays["cameras"].tolist())
                self._intake.dimension = int(arrays["dimension"])
                for camera_id, tracker in self._trackers.items():
                    tracker.restore(arrays[f"tracker_{camera_id}"].tobytes())
                self._identity.restore(arrays["identity"].tobytes())
                for camera_id, model in self._feet.items():
                    model.restore({name: arrays[f"feet_{name}_{camera_id}"] for name in ("counts", "tracks")})
        except (OSError, KeyError, EOFError) as error:
            raise ValueError(f"not the state of an associator of these cameras: {error}") from error

    def change_model(self, dimension: int) -> None:
        """Forgets how everybody looked, since looks of two models cannot be compared.

        Names and places stay. Every camera's tracks begin anew, for trackers mix looks and places.

        Args:
            dimension: values in an embedding of the new model.
        """
        self._intake.dimension = dimension
        for tracker in self._trackers.values():
            tracker.begin_anew(dimension)
        self._identity.forget_looks()

    def _check_cameras(self, cameras: list[str]) -> None:
        if cameras != self._camera_ids:
            own, others = ", ".join(self._camera_ids), ", ".join(cameras)
            raise ValueError(f"it is of the cameras {others}, and the site file has {own}, in this order")

    def _track(self, tick: int, item: CameraInput) -> Tracks:
        """The tracks of the people inside the environment's area."""
        tracker, homography = self._trackers[item.camera_id], self._homographies.get(item.camera_id)
        if self._area is None or homography is None:
            return tracker.update(tick, item.size_hw, item.detections, item.embeddings)
        rows = np.flatnonzero(inside(homography.to_map(foot_points(item.detections.boxes)), self._area))
        found = tracker.update(tick, item.size_hw, item.detections.select(rows), item.embeddings[rows])
        return replace(found, detection_rows=rows[found.detection_rows])

    def _sight(self, tick: int, item: CameraInput, tracks: Tracks, looks: Float32) -> Sightings:
        cut = _cut_edges(tracks.boxes, item.size_hw)
        sure = tracks.scores >= self._detection_threshold
        feet = self._place(tick, item.camera_id, tracks, sure, cut)
        homography = self._homographies.get(item.camera_id)
        places = homography.to_map(feet.points) if homography else np.full((len(tracks), 2), np.nan)
        fit = sure & ~cut.any(axis=1)
        outside = np.zeros(len(tracks), np.bool_)
        if self._area is not None and homography is not None:
            outside = ~inside(places, self._area)
        return Sightings(
            np.full(len(tracks), self._camera_rows[item.camera_id]),
            tracks.track_ids,
            places,
            place_spread(homography, feet) if homography else np.full((len(tracks), 3), np.nan),
            quadrants_of(feet.points, item.size_hw),
            np.where(fit[:, None], looks, 0),
            quality_of(tracks.boxes, tracks.scores, fit),
            feet.upright & ~outside,
        )

    def _place(self, tick: int, camera_id: str, tracks: Tracks, sure: Bool, cut: Bool) -> Feet:
        model = self._feet.get(camera_id)
        if model is None:
            nowhere = np.full((len(tracks), 2), np.nan)
            return Feet(foot_points(tracks.boxes), nowhere, np.ones(len(tracks), np.bool_))
        if tick % FORGET_EVERY == 0:
            model.forget(tick - self._remembered_ticks)
        return model.place(tick, tracks.track_ids, tracks.boxes, sure, cut)

    def _joined(self, sightings: Sequence[Sightings]) -> Sightings:
        empty = np.zeros((0, self._intake.dimension), np.float32)
        looks = [
            item.looks if item.looks.shape[1] else np.zeros((len(item), self._intake.dimension)) for item in sightings
        ]
        return Sightings(
            np.concatenate([np.zeros(0, np.int64), *(item.cameras for item in sightings)]),
            np.concatenate([np.zeros(0, np.int64), *(item.track_ids for item in sightings)]),
            np.concatenate([np.zeros((0, 2)), *(item.map_xy for item in sightings)]),
            np.concatenate([np.zeros((0, 3)), *(item.spread for item in sightings)]),
            np.concatenate([np.zeros(0, np.int64), *(item.quadrants for item in sightings)]),
            np.concatenate([empty, *looks]).astype(np.float32),
            np.concatenate([np.zeros(0, np.float32), *(item.quality for item in sightings)]),
            np.concatenate([np.zeros(0, np.bool_), *(item.upright for item in sightings)]),
        )

    def _within(self, map_xy: Float64) -> Float64:
        """The places [N, 2] to be told: none outside the area, where hidden feet may turn out to stand."""
        if self._area is None:
            return map_xy
        return np.where(inside(map_xy, self._area)[:, None], map_xy, np.nan)

    def _global_id(self, person: int) -> str | None:
        return None if person == NOBODY else global_id(self._prefix, person)


def topology_of(environment: Environment, cameras: Sequence[Camera]) -> Topology:
    """What the site file says about how the cameras that take part hang together."""
    quadrants = list(Quadrant)
    exits = [(rule.camera, quadrants.index(rule.quadrant), rule.to) for rule in environment.exits]
    return make_topology([camera.id for camera in cameras], environment.overlaps, exits)


def place_of(x: float, y: float) -> tuple[float, float] | None:
    """A place on the map, or None where it is not known."""
    return None if np.isnan(x) else (x, y)


def _taken(embeddings: Float32, rows: Int64) -> Float32:
    if not embeddings.shape[1]:
        return np.zeros((len(rows), 0), np.float32)
    return embeddings[rows]


def _cut_edges(boxes: Float32, size_hw: tuple[int, int]) -> Bool:
    """[N, 4]: whether the frame's left, upper, right, lower edge cuts the box."""
    height, width = size_hw
    low, high = np.array([width, height]) * CUT_MARGIN, np.array([width, height]) * (1 - CUT_MARGIN)
    return np.hstack([boxes[:, :2] <= low, boxes[:, 2:] >= high])


def place_spread(homography: Homography, feet: Feet) -> Float64:
    """[N, 3] covariance (xx, xy, yy) of places on the map, m²: pixel errors carried through the homography."""
    by_pixel = homography.metres_per_pixel(feet.points)
    covariance = np.einsum("nij,nj,nkj->nik", by_pixel, feet.errors**2, by_pixel)
    return np.stack(
        [covariance[:, 0, 0] + MAP_ERROR_M**2, covariance[:, 0, 1], covariance[:, 1, 1] + MAP_ERROR_M**2], axis=1
    )


def quadrants_of(feet: Float64, size_hw: tuple[float, float]) -> Int64:
    """[N] in the order of ``site.Quadrant``."""
    height, width = size_hw
    return np.asarray((feet[:, 1] >= height / 2) * 2 + (feet[:, 0] >= width / 2), np.int64)
