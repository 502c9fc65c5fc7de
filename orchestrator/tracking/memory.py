"""What the wrapper remembers of tracks: their numbers, and how they looked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from orchestrator.boxes import iou
from orchestrator.values import Bool, Float32, Int64

LOOK_MEMORY = 0.9
"""Share of its look that a track keeps at each sighting, as in BoT-SORT; its first looks count alike."""
LEAST_LOOKS = 3
"""So many looks of a track say how its person looks, and so many in a row that are unlike them that it is with somebody
else by now. Fewer may be of whoever stands in front."""
SAME_PLACE_IOU = 0.3
"""Boxes that overlap by this much count as one place: that of a person who stood still, or moved for one tick."""


@dataclass(slots=True)
class KnownTrack:
    """One track of the engine."""

    number: int
    last_tick: int
    box: Float32
    """[4] xyxy px, where last seen."""
    look: Float32
    """[D] smoothed embedding."""
    looks: int = LEAST_LOOKS
    """In ``look``, which may be zeros."""
    unlike: int = 0
    """Latest looks, in a row, that are not this person's; they are not in ``look``."""

    def see(self, tick: int, box: Float32, look: Float32, similarity: float) -> None:
        """Takes in a sighting; one without a look [D] has a row of zeros."""
        self.last_tick, self.box = tick, box
        if not look.any():
            return
        if self.looks >= LEAST_LOOKS and self.look.any() and float(self.look @ look) < similarity:
            self.unlike += 1
            return
        kept = min(LOOK_MEMORY, self.looks / (self.looks + 1))
        self.look, self.looks, self.unlike = _unit(kept * self.look + (1 - kept) * look), self.looks + 1, 0


@dataclass(slots=True)
class TrackMemory:
    """Numbers the engine's tracks from 1 and splits those that came back, or went on, as someone else.

    What a track was called stays with it for good, so that one of two people has both names. A piece too many costs
    little: who it is, is then told by what all cameras see.
    """

    dimension: int
    similarity: float
    """Cosine from which two looks are one person's."""
    revival_ticks: int
    """Gap after which a track that comes back has to look the same."""
    lost_ticks: int
    """Gap after which it is a new one, where there are looks: where people went meanwhile, one camera does not know."""
    forget_ticks: int
    """Gap after which it is forgotten."""
    tracks: dict[int, KnownTrack] = field(default_factory=dict)
    count: int = 0

    def usable(self, embeddings: Float32) -> Float32:
        """The embeddings [N, E] as looks [N, D]: zeros where there is none, or none that can be used."""
        looks = np.zeros((len(embeddings), self.dimension), np.float32)
        if embeddings.shape[1] == self.dimension:
            known = np.isfinite(embeddings).all(axis=1)
            looks[known] = embeddings[known]
        return looks

    def complete(self, boxes: Float32, looks: Float32, tick: int) -> Float32:
        """Looks [N, D] in which rows that have none take the look of the track that stood there last.

        Where none stood, the row is a neutral vector that is like nobody.
        """
        features = looks.copy()
        known: Bool = np.asarray(looks.any(axis=1), np.bool_)
        features[~known] = self.dimension**-0.5
        near = [track for track in self.tracks.values() if tick - track.last_tick <= self.revival_ticks]
        if near and not known.all():
            overlap = iou(boxes, np.stack([track.box for track in near]))
            nearest = overlap.argmax(axis=1)
            for row in np.flatnonzero(~known & (overlap.max(axis=1) >= SAME_PLACE_IOU)):
                features[row] = near[nearest[row]].look
        return features

    def number(self, tick: int, engine_ids: Int64, boxes: Float32, looks: Float32) -> Int64:
        """The track ids [N] for the engine's [N], given their boxes [N, 4] and looks [N, D] at this tick.

        A look of zeros says nothing.
        """
        numbers = []
        for engine_id, box, look in zip(engine_ids.tolist(), boxes, looks, strict=True):
            track = self.tracks.get(engine_id)
            if track is None or not self._is_same(track, tick, box, look):
                self.count += 1
                track = KnownTrack(self.count, tick, box, np.zeros_like(look), looks=0)
            track.see(tick, box, look, self.similarity)
            if track.unlike >= LEAST_LOOKS:
                self.count += 1
                track = KnownTrack(self.count, tick, box, look, looks=1)
            self.tracks[engine_id] = track
            numbers.append(track.number)
        self.tracks = {key: track for key, track in self.tracks.items() if tick - track.last_tick <= self.forget_ticks}
        return np.array(numbers, np.int64)

    def _is_same(self, track: KnownTrack, tick: int, box: Float32, look: Float32) -> bool:
        gap = tick - track.last_tick
        if gap <= self.revival_ticks:
            return True
        if len(look):
            return gap <= self.lost_ticks and float(track.look @ look) >= self.similarity
        return float(iou(box[None], track.box[None])[0, 0]) >= SAME_PLACE_IOU


def _unit(look: Float32) -> Float32:
    length = float(np.linalg.norm(look))
    return np.asarray(look / length if length > 0 else look, np.float32)
