"""What the wrapper remembers of tracks: their numbers, and how they looked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from orchestrator.boxes import iou
from orchestrator.values import Bool, Float32, Int64

LOOK_MEMORY = 0.9
"""Share of its look that a track keeps at each sighting, as in BoT-SORT."""
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


@dataclass(slots=True)
class TrackMemory:
    """Numbers the engine's tracks from 1 and splits those that came back as someone else."""

    dimension: int
    similarity: float
    """Cosine from which two looks are one person's."""
    revival_ticks: int
    """Gap after which a track that comes back has to prove who it is."""
    forget_ticks: int
    """Gap after which it is forgotten."""
    tracks: dict[int, KnownTrack] = field(default_factory=dict)
    count: int = 0

    def complete(self, boxes: Float32, embeddings: Float32, tick: int) -> Float32:
        """Embeddings [N, D] in which rows that have none take the look of the track that stood there last.

        Where none stood, the row is a neutral vector that is like nobody.
        """
        features = np.full((len(boxes), self.dimension), self.dimension**-0.5, np.float32)
        known: Bool = np.zeros(len(boxes), bool)
        if embeddings.shape[1] == self.dimension:
            known = np.logical_and(np.isfinite(embeddings).all(axis=1), embeddings.any(axis=1))
            features[known] = embeddings[known]
        near = [track for track in self.tracks.values() if tick - track.last_tick <= self.revival_ticks]
        if near and not known.all():
            overlap = iou(boxes, np.stack([track.box for track in near]))
            nearest = overlap.argmax(axis=1)
            for row in np.flatnonzero(~known & (overlap.max(axis=1) >= SAME_PLACE_IOU)):
                features[row] = near[nearest[row]].look
        return features

    def number(self, tick: int, engine_ids: Int64, boxes: Float32, looks: Float32) -> Int64:
        """The track ids [N] for the engine's [N], given their boxes [N, 4] and looks [N, D] at this tick."""
        numbers = []
        for engine_id, box, look in zip(engine_ids.tolist(), boxes, looks, strict=True):
            track = self.tracks.get(engine_id)
            if track is None or not self._is_same(track, tick, box, look):
                self.count += 1
                track = self.tracks[engine_id] = KnownTrack(self.count, tick, box, look)
            track.last_tick, track.box = tick, box
            track.look = _unit(LOOK_MEMORY * track.look + (1 - LOOK_MEMORY) * look)
            numbers.append(track.number)
        self.tracks = {key: track for key, track in self.tracks.items() if tick - track.last_tick <= self.forget_ticks}
        return np.array(numbers, np.int64)

    def _is_same(self, track: KnownTrack, tick: int, box: Float32, look: Float32) -> bool:
        if tick - track.last_tick <= self.revival_ticks:
            return True
        if len(look):
            return float(track.look @ look) >= self.similarity
        return float(iou(box[None], track.box[None])[0, 0]) >= SAME_PLACE_IOU


def _unit(look: Float32) -> Float32:
    length = float(np.linalg.norm(look))
    return np.asarray(look / length if length > 0 else look, np.float32)
