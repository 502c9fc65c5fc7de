"""How people move through a site: the social-force model of Helbing and Molnar (1995) along shortest paths.

Each place where people go has a field of walking distances (Dijkstra on a grid); people descend it, are pushed away by
others and by what stands around, stop for a while where they arrive, and go on; some agree to meet. Whatever the forces
say, nobody comes closer to anybody, or to a solid, than bodies allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demo.site.gait import Motion
from demo.site.meeting import NOBODY, WAIT_S, Meetings
from demo.site.paths import CLEARANCE, Plan, unit
from demo.site.scene import Scene
from orchestrator.values import Bool, Float32, Float64

_BODY = 0.3
"""Half the least distance between the centres of two people, metres."""
_STEPS_PER_SECOND = 24
_WARM_UP_S = 4.0
_ARRIVED = 0.9
_PATIENCE_S = 3.0
"""Who is kept from walking for so long goes elsewhere; without this, crowds that meet in a passage stay there."""
_KEPT = 0.15
"""Whoever wants to walk and gets on more slowly over a second is kept from it, metres a second."""


@dataclass(frozen=True)
class Trajectories:
    """Where everybody is in every frame: T frames, P people."""

    xy: Float32
    """[T, P, 2] metres."""
    heading: Float32
    phase: Float32
    speed: Float32
    gaze: Float32

    def at(self, frame: int) -> Motion:
        """The moment of one frame."""
        return Motion(self.xy[frame], self.heading[frame], self.phase[frame], self.speed[frame], self.gaze[frame])


class _Walkers:
    """Everybody's state, advanced in small steps."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._plan, self._rng, self._places = Plan(scene), rng, scene.places
        self._pace = np.array([person.pace for person in scene.people])
        self._stride = np.array([person.build.stride * person.build.height / 1.72 for person in scene.people])
        count = len(scene.people)
        self.xy = self._beginnings(scene)
        self.velocity = np.zeros((count, 2))
        self.heading = rng.uniform(-np.pi, np.pi, count)
        self.phase = rng.uniform(0, 2 * np.pi, count)
        self.speed = np.zeros(count)
        self.gaze = np.zeros(count)
        self._gaze_goal = np.zeros(count)
        self._drift = np.zeros((count, 2))
        self._kept_s = np.zeros(count)
        self._rest = np.where(rng.random(count) < 0.2, rng.exponential(3.0, count), 0.0)
        self._goal = np.array([self._another(-1) for _ in range(count)])
        self._meetings = Meetings(count, rng)
        for row in np.flatnonzero(self._rest == 0).tolist():
            self._seek_company(row)

    def _beginnings(self, scene: Scene) -> Float64:
        chosen: list[Float64] = []
        for row in range(len(scene.people)):
            x0, y0, x1, y1 = scene.start_areas[row % len(scene.start_areas)]
            for _ in range(500):
                spot = self._rng.uniform((x0, y0), (x1, y1))
                others = np.array(chosen).reshape(-1, 2)
                apart = len(others) == 0 or np.linalg.norm(others - spot, axis=1).min() > 1.0
                if apart and self._plan.room(spot[None])[0][0] > 2 * CLEARANCE:
                    break
            else:
                raise ValueError(f"scene {scene.name!r} has no room for {len(scene.people)} people")
            chosen.append(spot)
        return np.array(chosen)

    def _another(self, last: int) -> int:
        weights = np.array([place.weight for place in self._places])
        if last >= 0:
            weights[last] = 0
        return int(self._rng.choice(len(weights), p=weights / weights.sum()))

    def _go_on(self, row: int) -> None:
        self._meetings.part(row)
        self._goal[row] = self._another(int(self._goal[row]))
        self._seek_company(row)

    def _seek_company(self, row: int) -> None:
        """Two who agree to meet go to the place that both reach soonest and where no others meet."""
        engaged = self._meetings.partner != NOBODY
        other = self._meetings.arrange(row, self._rest == 0, self.xy)
        if other != NOBODY:
            distances = self._plan.distances(self.xy[[row, other]]).max(axis=0)
            distances[self._goal[engaged]] = np.inf
            self._goal[[row, other]] = distances.argmin()

    def step(self, dt: float) -> None:
        """Move everybody on by ``dt`` seconds."""
        self._arrive(dt)
        resting = self._rest > 0
        way = self._plan.way(self.xy, self._goal) * self._pace[:, None]
        wish = np.where(resting[:, None], self._meetings.approach(self.xy), way)
        force = (wish - self.velocity) / 0.45 + self._from_others(resting) + self._from_solids()
        velocity = self.velocity + force * dt
        top = np.where(resting, 0.5, 1.3 * self._pace)
        length = np.linalg.norm(velocity, axis=1)
        velocity *= (np.minimum(length, top) / (length + 1e-9))[:, None]
        before = self.xy.copy()
        self.xy = self._kept_apart(self.xy + velocity * dt)
        self.velocity = (self.xy - before) / dt
        self._drift += (self.velocity - self._drift) * dt
        kept = ~resting & (np.linalg.norm(self._drift, axis=1) < _KEPT)
        self._kept_s = np.where(kept, self._kept_s + dt, 0.0)
        self._turn(dt)

    def _arrive(self, dt: float) -> None:
        was_resting = self._rest > 0
        self._rest = np.maximum(0, self._rest - dt)
        goals = np.array([(self._places[goal].x, self._places[goal].y) for goal in self._goal])
        near = np.linalg.norm(self.xy - goals, axis=1) < _ARRIVED
        done = (was_resting & (self._rest == 0)) | (self._kept_s > _PATIENCE_S)
        for row in np.flatnonzero(done).tolist():
            self._kept_s[row] = 0.0
            self._go_on(row)
        for row in np.flatnonzero(near & ~was_resting).tolist():
            meets = self._meetings.partner[row] != NOBODY
            self._rest[row] = WAIT_S if meets else self._stay_s(row)
        for one, other, seconds in self._meetings.greet(self.xy, self._rest > 0):
            self._rest[[one, other]] = seconds

    def _stay_s(self, row: int) -> float:
        return 0.3 + float(self._rng.exponential(self._places[self._goal[row]].dwell_s))

    def _from_others(self, resting: Bool) -> Float64:
        """Repulsion that grows with nearness, counts more from ahead, and makes people pass on the right."""
        offset = self.xy[:, None] - self.xy[None]
        distance = np.linalg.norm(offset, axis=-1) + np.eye(len(self.xy)) * 1e6
        away = offset / distance[..., None]
        ahead = -(away * unit(self.velocity)[:, None]).sum(-1)
        weight = 0.3 + 0.35 * (1 + ahead)
        strength = 3.2 * np.exp((2 * _BODY - distance) / 0.55) * weight
        paired = np.flatnonzero(self._meetings.partner != NOBODY)
        strength[paired, self._meetings.partner[paired]] = 0.0
        aside = np.stack([away[..., 1], -away[..., 0]], axis=-1)
        passing = np.where(resting, 0.0, 0.55)[:, None, None] * aside * np.clip(ahead, 0, 1)[..., None]
        push: Float64 = ((away - passing) * strength[..., None]).sum(axis=1)
        return push

    def _from_solids(self) -> Float64:
        room, away = self._plan.room(self.xy)
        push: Float64 = away * (4.0 * np.exp((CLEARANCE - room) / 0.25))[:, None]
        return push

    def _kept_apart(self, xy: Float64) -> Float64:
        """Positions nearby at which no two bodies, and no body and solid, overlap."""
        for _ in range(12):
            offset = xy[:, None] - xy[None]
            distance = np.linalg.norm(offset, axis=-1) + np.eye(len(xy)) * 1e6
            overlap = np.maximum(0, 2 * _BODY - distance)
            xy = xy + 0.55 * (offset / (distance[..., None] + 1e-9) * overlap[..., None]).sum(axis=1)
            room, away = self._plan.room(xy)
            xy = xy + away * np.maximum(0, CLEARANCE - room)[:, None]
            if overlap.max() < 1e-3 and room.min() > CLEARANCE - 1e-3:
                break
        return xy

    def _turn(self, dt: float) -> None:
        pace = np.linalg.norm(self.velocity, axis=1)
        self.speed += (pace - self.speed) * min(1.0, dt / 0.2)
        self.phase += 2 * np.pi * self.speed * dt / (self._stride * (0.75 + 0.5 * self.speed))
        talking = self._meetings.talking
        ahead = np.where(talking[:, None], self._meetings.towards(self.xy), self.velocity)
        toward = np.arctan2(ahead[:, 1], ahead[:, 0])
        swing = np.mod(toward - self.heading + np.pi, 2 * np.pi) - np.pi
        self.heading += np.where(talking | (pace > 0.25), swing * min(1.0, dt / 0.25), 0)
        change = self._rng.random(len(pace)) < dt / 2.5
        self._gaze_goal = np.where(change, self._rng.normal(0, 0.45, len(pace)), self._gaze_goal)
        self.gaze += (self._gaze_goal - self.gaze) * min(1.0, dt / 0.4)


def walk(scene: Scene, on_frame: Callable[[], None] = lambda: None) -> Trajectories:
    """Everybody's path through the whole recording; the same for the same scene.

    ``on_frame`` is called for each frame; what it raises ends the walk. Raises ``ValueError`` where the start areas
    have no room for everybody.
    """
    walkers = _Walkers(scene, np.random.default_rng([scene.seed, 4]))
    steps = max(1, round(_STEPS_PER_SECOND / scene.fps))
    dt = 1 / (steps * scene.fps)
    for _ in range(round(_WARM_UP_S / dt)):
        walkers.step(dt)
    moments = []
    for _ in range(scene.frames):
        for _ in range(steps):
            walkers.step(dt)
        on_frame()
        columns = (walkers.heading, walkers.phase, walkers.speed, walkers.gaze)
        moments.append((walkers.xy.copy(), *(column.copy() for column in columns)))
    return Trajectories(*(np.array(column, np.float32) for column in zip(*moments, strict=True)))
