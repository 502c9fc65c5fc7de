"""Which tracker a camera gets."""

from __future__ import annotations

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.tracking.protocol import CameraTracker


def create_tracker(settings: Settings, camera_id: str, rate: float) -> CameraTracker:
    """A tracker with no memory of its own beyond this camera and task.

    BoxMOT is imported here and not with the module: it pulls PyTorch in, which takes seconds. Its C++ backend is
    refused: it keeps its state where it cannot be saved, so a worker that dies could not go on from a checkpoint.

    Args:
        settings: names the tracker and its thresholds.
        camera_id: named in errors.
        rate: ticks per second.

    Raises:
        SettingsError: BoxMOT has no such tracker, or it needs masks.
    """
    if settings.tracker_backend == "cpp":
        raise SettingsError(
            "SPOTON_TRACKER_BACKEND: the C++ backend of BoxMOT cannot save its state, which resuming needs; use python"
        )
    from orchestrator.tracking.boxmot import BoxMotTracker

    return BoxMotTracker(settings, camera_id, rate)
