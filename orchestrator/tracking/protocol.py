"""What every per-camera tracker can do."""

from __future__ import annotations

from typing import Protocol

from orchestrator.values import Detections, Float32, Tracks


class CameraTracker(Protocol):
    """Links the detections of one fixed camera over time. One per camera and task; not thread-safe."""

    def update(self, frame_index: int, size_hw: tuple[int, int], detections: Detections, embeddings: Float32) -> Tracks:
        """Takes the detections of one tick and says which tracks they continue.

        Args:
            frame_index: tick, rising; ticks at which the camera gave no frame are left out.
            size_hw: of the source frame, px.
            detections: with scores down to the low detection threshold.
            embeddings: [N, D] row by row with ``detections``, L2-normalised; a row of zeros has none; D may be 0.

        Returns:
            The confirmed tracks that took a detection of this tick; ids rise from 1.
        """
        ...

    def snapshot(self) -> bytes:
        """The whole state: a tracker of the same settings that restores it goes on as this one would."""
        ...

    def restore(self, state: bytes) -> None:
        """Takes over a state made by ``snapshot``.

        Raises:
            ValueError: the bytes are no such state.
        """
        ...

    def begin_anew(self, dimension: int) -> None:
        """Forgets all tracks; the ids of later ones, whose embeddings have ``dimension`` values, go on where it was."""
        ...
