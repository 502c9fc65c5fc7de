"""How people look from their several sides: a few views of each, and how like them somebody else is.

A look joins the view that it is like; one that is like none becomes a view of its own, for which, once all places are
taken, the two that are most alike become one. So the front, the back, and what another camera makes of a person's
colours stand beside each other, where one average would be like neither.
"""

from __future__ import annotations

import numpy as np

from orchestrator.identity.judgement import Judgement
from orchestrator.identity.tables import People, RecentTracks, normalised
from orchestrator.values import Bool, Float32, Float64, Int64


def found(people: People, rows: slice, tracks: RecentTracks, of: Int64, tick: int, memory: float) -> None:
    """Gives new people, one row each, the look of the track that they were found by."""
    looks = _storable(tracks.looks(of))
    seen = looks.any(axis=1)
    weight = np.where(seen, np.linalg.norm(tracks.look_sum[of], axis=1), 0)
    people.views[rows, 0], people.view_quality[rows, 0] = looks, np.minimum(weight, memory)
    people.view_camera[rows, 0], people.view_tick[rows, 0] = tracks.camera[of], tick


def take_in(
    people: People,
    rows: Int64,
    looks: Float64,
    qualities: Float64,
    cameras: Int64,
    tick: int,
    judge: Judgement,
) -> tuple[Int64, Int64]:
    """Adds one look [D] of length 1 to each of several people, who may come more than once.

    Returns:
        The views that changed: people [K] and numbers [K], each once.

    Args:
        people: whose views.
        rows: [M] the person of each look.
        looks: [M, D]
        qualities: [M] above 0.
        cameras: [M] where each was taken.
        tick: when.
        judge: what counts as the same view, and how long one remembers.
    """
    changed: dict[tuple[int, int], None] = {}
    for turn, (row, look, quality) in enumerate(zip(rows.tolist(), looks, qualities.tolist(), strict=True)):
        views, weights = people.views[row], people.view_quality[row]
        slot, merged = _place(views, weights, look, judge.same_view)
        mixed = weights[slot] * views[slot] + quality * look
        views[slot] = _storable(mixed / max(float(np.linalg.norm(mixed)), 1e-9))
        weights[slot] = min(weights[slot] + quality, judge.memory)
        people.view_camera[row, slot], people.view_tick[row, slot] = cameras[turn], tick
        changed |= {(row, each): None for each in (slot, merged)}
    pairs = np.array(list(changed), np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def likeness(looks: Float64, people: People, sharpness: float) -> tuple[Float64, Bool]:
    """How like each person [P] each look [N, D] is, as a cosine [N, P], and whether both were seen at all.

    A person's look is a mixture of views, each as likely as its looks said: exp(s c) of the cosine, averaged over the
    views, and its logarithm over s. Many views thus make nobody like everybody, as the nearest view would.
    """
    count, views, dimension = people.views.shape
    known = people.view_quality.sum(axis=1)
    compared: Bool = np.logical_and.outer(looks.any(axis=1), known > 0)
    cosine = (looks.astype(np.float32) @ people.views.reshape(count * views, dimension).T).reshape(
        len(looks), count, views
    )
    share = people.view_quality / np.where(known > 0, known, 1)[:, None]
    mixed = (np.exp(sharpness * (cosine - 1)) * share).sum(axis=2)
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(compared, 1 + np.log(mixed) / sharpness, 0), np.float64), compared


def _place(views: Float32, weights: Float64, look: Float64, same: float) -> tuple[int, int]:
    """The view that a look goes to, and the one that changed to make room for it (the same where none had to)."""
    used = weights > 0
    cosine = np.where(used, views @ look, -np.inf)
    nearest = int(cosine.argmax())
    if cosine[nearest] >= same:
        return nearest, nearest
    if not used.all():
        free = int(used.argmin())
        return free, free
    between = views @ views.T
    np.fill_diagonal(between, -np.inf)
    one, other = divmod(int(between.argmax()), len(views))
    if between[one, other] <= cosine[nearest]:
        return nearest, nearest
    merged = weights[one] * views[one] + weights[other] * views[other]
    views[one] = _storable(normalised(merged[None])[0])
    weights[one], weights[other] = max(weights[one], weights[other]), 0
    return other, one


def _storable(look: Float64) -> Float32:
    """Rounded to half precision, in which views are kept elsewhere: what comes back is what was there."""
    return look.astype(np.float16).astype(np.float32)
