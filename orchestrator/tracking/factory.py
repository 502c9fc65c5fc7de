"""Which tracker a camera gets."""

from __future__ import annotations

from orchestrator.settings import Settings
from orchestrator.tracking.protocol import CameraTracker


def create_tracker(settings: Settings, camera_id: str, rate: float) -> CameraTracker:
    """A tracker with no memory of its own beyond this camera and task.

    BoxMOT is imported here and not with the module: it pulls PyTorch in, which takes seconds.

    Args:
        settings: names the tracker and its thresholds.
        camera_id: named in errors.
        rate: ticks per second.

    Raises:
        SettingsError: BoxMOT has no such tracker, or it needs masks; its C++ form is asked for and cannot be built.
    """
    if settings.tracker_backend == "cpp":
        from orchestrator.tracking.native import NativeTracker

        return NativeTracker(settings, camera_id, rate)
    from orchestrator.tracking.boxmot import BoxMotTracker

    return BoxMotTracker(settings, camera_id, rate)
