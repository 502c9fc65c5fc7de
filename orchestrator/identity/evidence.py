"""How much speaks for a track being a known person rather than someone new, in nats (log likelihood ratios).

Places are compared as Gaussian densities on the map (nats relative to ``NEW_PEOPLE_PER_M2``), embeddings by their
cosine. Zero means: as likely new as known. -inf means: cannot be.
"""

from __future__ import annotations

import numpy as np

from orchestrator.identity.judgement import Judgement
from orchestrator.identity.tables import NOBODY, People, RecentTracks
from orchestrator.identity.topology import Topology
from orchestrator.identity.views import likeness
from orchestrator.values import Bool, Float64, Int64

NEW_PEOPLE_PER_M2 = 0.02
"""Density at which someone new is expected where a track begins: one in 50 square metres. Sets how near two tracks of
different cameras have to stand, and for how long a vanished person is still expected back by place alone."""
WALKING_SPEED_M_S = 2.5
"""Nobody unseen moves faster between two cameras; a brisk walk is 1.8."""
WANDER_M_S = 0.8
"""Growth of the uncertainty of an unseen person's place: half of a usual walking pace to any side."""
KEEPS_WALKING_S = 1.0
"""For how long an unseen person is expected to go on in the direction they had."""
RETURNS = 0.4
"""Chance that someone unseen for long is the one who now begins a track within reach, before looks are compared."""
REACH_SLACK_M = 1.0
"""Added to the reach: both places are measured."""
LOOK_NATS_PER_COSINE = 20.0
"""Weight of looks: a cosine 0.1 above the Re-ID threshold speaks with 2 nats for, one 0.1 below with 2 against."""
LOOK_LIMIT_NATS = 4.0
"""No look speaks more strongly than this: views from other sides, cut boxes and look-alikes are never certain."""
EXIT_NATS = 1.5
"""Weight of an exit rule that says where the person should appear."""
EXIT_HORIZON_S = 60.0
"""For how long after someone left through an exit its rule is heeded."""
WILD_SHARE = 0.1
"""Share of places that are far worse than their covariance says."""
WILD_SPREAD = 16.0
"""By how much their covariance is larger: four times as far off."""
LOG_SURE_SHARE, LOG_WILD_SHARE = float(np.log(1 - WILD_SHARE)), float(np.log(WILD_SHARE))
LOG_2_PI = float(np.log(2 * np.pi))


def weigh(
    tracks: RecentTracks, rows: Int64, people: People, tick: int, judge: Judgement, own: Int64 | None = None
) -> Float64:
    """Evidence [N, P] for each of the recent tracks ``rows`` being each person, from place, motion, looks and topology.

    A track's own name does not count for it: people's places are taken from tracks of other cameras, or from the time
    before the track began. ``own`` [N] are the people whose names the tracks have: no camera sees them twice for that.
    """
    together = _standing_together(tracks, rows, len(people), tick)
    return _weigh(together, tracks, rows, people, tick, judge, own)


def weigh_returning(tracks: RecentTracks, rows: Int64, people: People, tick: int, judge: Judgement) -> Float64:
    """The same [N, P] for people of whom no recent track exists."""
    return _weigh(np.full((len(rows), len(people)), np.nan), tracks, rows, people, tick, judge)


def _weigh(
    together: Float64,
    tracks: RecentTracks,
    rows: Int64,
    people: People,
    tick: int,
    judge: Judgement,
    own: Int64 | None = None,
) -> Float64:
    apart_in_time = _coming_back(tracks, rows, people, tick, judge.rate)
    looks, compared = _looking_alike(tracks, rows, people, judge.similarity)
    side_by_side = np.isfinite(together)
    place = np.where(side_by_side, together, apart_in_time)
    evidence = np.where(np.isnan(place), 0.0, place) + looks
    evidence += _leading_here(tracks, rows, people, judge.topology, tick, judge.rate)
    impossible = np.isnan(place) & ~compared
    began = tracks.began[rows][:, None]
    twice = began <= people.seen_in[:, tracks.camera[rows]].T  # two at once in one camera
    if own is not None:
        twice[np.arange(len(rows)), own] = False
    impossible |= twice
    impossible |= ~side_by_side & _seen_apart(tracks, rows, people, judge.topology, tick)
    impossible |= people.retired[None, :]
    return np.where(impossible, -np.inf, evidence)


def _standing_together(tracks: RecentTracks, rows: Int64, people: int, tick: int) -> Float64:
    """[N, P] from the ticks at which the track and tracks of the person in other cameras were both seen; else NaN.

    The mean and not the sum over ticks: errors of one tick and the next are the same error.
    """
    named = np.flatnonzero(tracks.person != NOBODY)
    window = tracks.ring_tick.shape[1]
    ticks = tracks.ring_tick[rows]
    both = (ticks[:, None] == tracks.ring_tick[named][None]) & (ticks > tick - window)[:, None]
    both &= (tracks.camera[rows][:, None] != tracks.camera[named][None])[:, :, None]
    density = log_density(
        tracks.ring_xy[rows][:, None] - tracks.ring_xy[named][None],
        tracks.ring_spread[rows][:, None] + tracks.ring_spread[named][None],
    )
    both &= np.isfinite(density)
    member = np.zeros((len(named), people))
    member[np.arange(len(named)), tracks.person[named]] = 1
    ticks_shared = both.sum(axis=2) @ member
    total = np.where(both, density, 0).sum(axis=2) @ member
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(ticks_shared > 0, total / ticks_shared, np.nan) - np.log(NEW_PEOPLE_PER_M2))


def _coming_back(tracks: RecentTracks, rows: Int64, people: People, tick: int, rate: float) -> Float64:
    """[N, P] from where the person was last seen and how far they can have walked since; NaN where unknown."""
    xy, spread = _latest_places(tracks, rows)
    gone_s = (tick - people.xy_tick) / rate
    expected = people.xy + people.velocity * np.minimum(gone_s, KEEPS_WALKING_S)[:, None]
    wander = ((WANDER_M_S * gone_s) ** 2)[:, None] * np.array([1.0, 0.0, 1.0])
    density = log_density(xy[:, None] - expected[None], 2 * spread[:, None] + wander[None])
    nats = np.log(np.exp(density) / NEW_PEOPLE_PER_M2 + RETURNS)
    distance = np.linalg.norm(xy[:, None] - people.xy[None], axis=2)
    reach = WALKING_SPEED_M_S * gone_s + REACH_SLACK_M + np.sqrt(spread[:, :1] + spread[:, 2:])
    return np.where(distance > reach, -np.inf, nats)


def _latest_places(tracks: RecentTracks, rows: Int64) -> tuple[Float64, Float64]:
    column = tracks.last_tick[rows] % tracks.ring_tick.shape[1]
    return tracks.ring_xy[rows, column], tracks.ring_spread[rows, column]


def _looking_alike(tracks: RecentTracks, rows: Int64, people: People, threshold: float) -> tuple[Float64, Bool]:
    """[N, P] nats, and whether both have an embedding."""
    cosine, compared = likeness(tracks.looks(rows), people, LOOK_NATS_PER_COSINE)
    nats = np.clip((cosine - threshold) * LOOK_NATS_PER_COSINE, -LOOK_LIMIT_NATS, LOOK_LIMIT_NATS)
    return np.where(compared, nats, 0.0), compared


def _leading_here(
    tracks: RecentTracks, rows: Int64, people: People, topology: Topology, tick: int, rate: float
) -> Float64:
    """[N, P] for people who left another camera through an exit that leads to the track's camera."""
    leads = topology.exits[people.camera, people.quadrant][:, tracks.camera[rows]].T
    fresh = tick - people.last_tick <= EXIT_HORIZON_S * rate
    return np.where(leads & fresh[None], EXIT_NATS, 0.0)


def _seen_apart(tracks: RecentTracks, rows: Int64, people: People, topology: Topology, tick: int) -> Bool:
    """[N, P] True where a camera that shares no view with the track's sees the person at this very tick."""
    seen_now = (people.seen_in == tick).astype(np.float64)
    return np.asarray((seen_now @ topology.apart[:, tracks.camera[rows]]).T > 0)


def log_density(offset: Float64, spread: Float64) -> Float64:
    """Log of the density of offsets [..., 2] on the map, per square metre, for covariances [..., 3] (xx, xy, yy).

    Two normal densities: places are mostly as good as their covariance says, and some are far worse, since the feet
    are hidden or the box is half another person's.
    """
    x, y = offset[..., 0], offset[..., 1]
    xx, xy, yy = spread[..., 0], spread[..., 1], spread[..., 2]
    with np.errstate(invalid="ignore"):  # places that are not known are NaN, and so is their density
        determinant = xx * yy - xy * xy
        half = 0.5 * (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant
        scale = -LOG_2_PI - 0.5 * np.log(determinant)
        sure = scale - half + LOG_SURE_SHARE
        wild = scale - half / WILD_SPREAD + LOG_WILD_SHARE - np.log(WILD_SPREAD)
        return np.asarray(np.maximum(sure, wild) + np.log1p(np.exp(-np.abs(sure - wild))), np.float64)
