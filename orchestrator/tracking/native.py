"""BoxMOT's C++ trackers behind ``CameraTracker``.

A C++ tracker hands its state to nobody. A checkpoint therefore holds how its tracks were last seen, and the tracker is
made anew from that: by whoever resumes, and by the run itself at every snapshot, so that both go on from the same.

It is the tracker as published. Its matching cannot be widened as ``botsort.widen_search`` does, it counts ticks and not
seconds, and ticks at which the camera gave no frame do not exist for it.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from boxmot.native import _common as native_build
from boxmot.trackers.factory import create_tracker as create_engine
from boxmot.trackers.registry import supported_native_trackers
from boxmot.trackers.specs import TrackerSpec

from orchestrator.errors import SettingsError
from orchestrator.tracking.botsort import botsort_options
from orchestrator.tracking.boxmot import REHEARSED_TICKS, BoxMotTracker
from orchestrator.tracking.catalogue import options_of
from orchestrator.tracking.memory import KnownTrack
from orchestrator.values import Float32, Int64

if TYPE_CHECKING:
    from orchestrator.settings import Settings

SIGHTINGS = 30
"""Of each track in a checkpoint: after so many, a filter's guess hardly depends on where it began."""
REMADE_AFTER = 3000
"""Ticks. BoxMOT's C++ trackers keep every track that they ever removed; one that is made anew has none."""
NEEDED = "it needs cmake, make, a C++ compiler and the headers of OpenCV and Eigen (libopencv-dev, libeigen3-dev)"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a C++ tracker is made anew from: T tracks, P detections that none of them took, R rows of what was seen."""

    count: Int64
    """[1] numbers given so far."""
    size_hw: Int64
    """[2] of the frame, px."""
    numbers: Int64
    """[T]"""
    last_ticks: Int64
    """[T] at which they were last seen."""
    look_counts: Int64
    """[T, 2] ``KnownTrack.looks`` and ``KnownTrack.unlike``."""
    looks: Float32
    """[T + P, D]: how tracks look, then how the other detections do."""
    owners: Int64
    """[R] rows of ``looks``."""
    ages: Int64
    """[R] in updates: 0 is the last one, -1 the one before."""
    boxes: Float32
    """[R, 4] xyxy px."""
    scores: Float32
    """[R]"""

    def to_bytes(self) -> bytes:
        """As numpy's archive."""
        buffer = io.BytesIO()
        np.savez(buffer, **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, state: bytes) -> Self:
        """Reads what ``to_bytes`` wrote.

        Raises:
            ValueError: the bytes are no such state.
        """
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"not the state of a tracker: {error}") from error

    def replay(self) -> Iterator[tuple[Int64, Float32, Float32]]:
        """Owners, boxes and scores, update by update, of a rehearsal that ends where the tracker was.

        It begins with nobody, since trackers believe at once in whom they see first. Every track then stands for some
        updates where it was seen first, so that it is confirmed.
        """
        order = np.argsort(self.ages, kind="stable")
        _, firsts = np.unique(self.owners[order], return_index=True)
        firsts = order[firsts]
        firsts = np.repeat(firsts[self.owners[firsts] < len(self.numbers)], REHEARSED_TICKS)
        before = np.tile(np.arange(-REHEARSED_TICKS, 0), len(firsts) // REHEARSED_TICKS)
        ages = np.concatenate([self.ages, self.ages[firsts] + before])
        owners = np.concatenate([self.owners, self.owners[firsts]])
        boxes = np.concatenate([self.boxes, self.boxes[firsts]])
        scores = np.concatenate([self.scores, np.ones(len(firsts), np.float32)])
        for age in range(int(ages.min(initial=0)) - 1, 1):
            now = np.flatnonzero(ages == age)
            yield owners[now], boxes[now], scores[now]


class NativeTracker(BoxMotTracker):
    """One of BoxMOT's C++ trackers over one camera."""

    _size_hw = (0, 0)
    _updates = 0

    def snapshot(self) -> bytes:
        """See ``CameraTracker.snapshot``. This tracker, too, is made anew from what it gives."""
        if self._engine is None:
            return b""
        state = self._keep().to_bytes()
        self.restore(state)
        return state

    def restore(self, state: bytes) -> None:
        """See ``CameraTracker.restore``."""
        self._engine = None
        if state:
            self._remake(Kept.from_bytes(state))

    def _make_engine(self, *, with_embeddings: bool) -> Any:
        return _create(self._settings, self._camera_id, self._rate, with_embeddings=with_embeddings)

    def _start(self, dimension: int) -> None:
        super()._start(dimension)
        self._updates = 0
        self._sightings: dict[int, deque[tuple[int, Float32, float]]] = {}
        self._spare = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, dimension), np.float32))

    def _follow(
        self,
        boxes: Float32,
        scores: Float32,
        features: Float32 | None,
        frame_index: int,  # noqa: ARG002 (it counts for itself)
        size_hw: tuple[int, int],
    ) -> tuple[Int64, Int64]:
        """Past BoxMOT's public ``update``, which turns arrays into tensors and back."""
        self._size_hw = size_hw
        found = self._engine._library.update(
            self._engine._handle,
            geometry=np.ascontiguousarray(boxes),
            scores=np.ascontiguousarray(scores),
            class_ids=np.zeros(len(boxes), np.int64),
            detection_indices=np.arange(len(boxes)),
            embeddings=None if features is None or not self._engine.use_embeddings else np.ascontiguousarray(features),
            image=self._blank(size_hw) if self._engine.requirements.frame else None,
        )
        taken = found.detection_indices >= 0
        return found.track_ids[taken], found.detection_indices[taken]

    def _note(self, boxes: Float32, scores: Float32, features: Float32 | None, rows: Int64, ids: Int64) -> None:
        self._updates += 1
        for row, engine_id in zip(rows.tolist(), ids.tolist(), strict=True):
            seen = self._sightings.setdefault(engine_id, deque(maxlen=SIGHTINGS))
            seen.append((self._updates, boxes[row], float(scores[row])))
        others = np.setdiff1d(np.arange(len(boxes)), rows)
        self._spare = boxes[others], scores[others], self._spare[2][:0] if features is None else features[others]
        if self._updates >= REMADE_AFTER:
            self._remake(self._keep())

    def _keep(self) -> Kept:
        oldest = self._updates - self._settings.lost_track_ticks(self._rate)
        recent = [key for key in self._memory.tracks if self._sightings[key][-1][0] >= oldest]
        tracks = [self._memory.tracks[key] for key in recent]
        seen = [(row, *each) for row, key in enumerate(recent) for each in self._sightings[key]]
        boxes, scores, looks = self._spare
        spare = np.arange(len(boxes))
        return Kept(
            count=np.array([self._memory.count]),
            size_hw=np.array(self._size_hw),
            numbers=np.array([track.number for track in tracks], np.int64),
            last_ticks=np.array([track.last_tick for track in tracks], np.int64),
            look_counts=np.array([(track.looks, track.unlike) for track in tracks], np.int64).reshape(-1, 2),
            looks=np.concatenate([[track.look for track in tracks], looks]) if tracks else looks,
            owners=np.concatenate([np.array([row for row, *_ in seen], np.int64), len(tracks) + spare]),
            ages=np.concatenate([np.array([at for _, at, *_ in seen], np.int64) - self._updates, 0 * spare]),
            boxes=np.concatenate([[box for *_, box, _ in seen], boxes]) if seen else boxes,
            scores=np.concatenate([np.array([score for *_, score in seen], np.float32), scores]),
        )

    def _remake(self, kept: Kept) -> None:
        """A new engine that knows the tracks of the former one; those that it does not take up are forgotten."""
        self._start(kept.looks.shape[1])
        self._memory.count = int(kept.count[0])
        try:
            owner_of = self._replay(kept)
        except Exception:  # as in update: other cameras go on
            self._tell_failure(int(kept.last_ticks.max(initial=0)))
            self.begin_anew(self._memory.dimension)
            return
        newest = {owner: engine_id for engine_id, owner in owner_of.items()}
        for owner, engine_id in newest.items():
            own = np.flatnonzero(kept.owners == owner)
            self._sightings[engine_id] = deque(
                ((int(kept.ages[row]), kept.boxes[row], float(kept.scores[row])) for row in own), maxlen=SIGHTINGS
            )
            self._memory.tracks[engine_id] = KnownTrack(
                int(kept.numbers[owner]),
                int(kept.last_ticks[owner]),
                kept.boxes[own[-1]],
                kept.looks[owner],
                *kept.look_counts[owner].tolist(),
            )
        spare = np.flatnonzero(kept.owners >= len(kept.numbers))
        self._spare = kept.boxes[spare], kept.scores[spare], kept.looks[len(kept.numbers) :]

    def _replay(self, kept: Kept) -> dict[int, int]:
        """Rows of the tracks by the ids that the new engine gives them; who was seen last comes last."""
        owner_of: dict[int, int] = {}
        size_hw = int(kept.size_hw[0]), int(kept.size_hw[1])
        for owners, boxes, scores in kept.replay():
            looks = kept.looks[owners] if self._memory.dimension else None
            ids, rows = self._follow(boxes, scores, looks, 0, size_hw)
            for engine_id, owner in zip(ids.tolist(), owners[rows].tolist(), strict=True):
                owner_of.pop(engine_id, None)
                if owner < len(kept.numbers):
                    owner_of[engine_id] = owner
        return owner_of


def _create(settings: Settings, camera_id: str, rate: float, *, with_embeddings: bool) -> Any:
    name = settings.tracker
    if name not in supported_native_trackers():
        known = ", ".join(supported_native_trackers())
        raise SettingsError(f"SPOTON_TRACKER_BACKEND: BoxMOT has no C++ {name}; there are {known}")
    options = (botsort_options if name == "botsort" else options_of)(settings, rate, with_embeddings=with_embeddings)
    options.pop("variable_dt", None)
    if name == "occluboost":
        options["use_cmc"] = False
    said: list[str] = []
    native_build.set_build_status_fn(lambda text: said.extend(text.splitlines()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # BoxMOT leaves the pipe from cmake open
            return create_engine(TrackerSpec(name, backend="cpp", options=tuple(sorted(options.items()))))
    except (OSError, RuntimeError) as error:
        raise SettingsError(
            f"SPOTON_TRACKER_BACKEND: the C++ {name} cannot be built or loaded here ({_reason(error, said)}); {NEEDED}"
        ) from error
    except (ValueError, TypeError) as error:
        raise SettingsError(f"SPOTON_TRACKER: camera {camera_id}: {error}") from error
    finally:
        native_build.set_build_status_fn(None)


def _reason(error: Exception, said: Sequence[str]) -> str:
    """What a compiler or cmake complained of first; else the error's first line."""
    complaints = [line.strip() for line in said if re.search(r"\b(error|not found)\b", line, re.IGNORECASE)]
    return complaints[0] if complaints else str(error).partition("\n")[0]
