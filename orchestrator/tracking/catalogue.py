"""What BoxMOT's other trackers are told: SpotOn's thresholds under the names that each has for them.

All else stays as BoxMOT ships it. Cameras are fixed, so that none compensates camera motion and none needs pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.settings import Settings

Options = dict[str, bool | int | float]
HIGH: Mapping[str, tuple[str, ...]] = {
    "boosttrack": ("det_thresh",),
    "bytetrack": ("track_thresh",),
    "deepocsort": ("det_thresh",),
    "hybridsort": ("det_thresh", "track_thresh"),
    "occluboost": ("det_thresh", "new_track_thresh"),
    "ocsort": ("det_thresh",),
    "sfsort": ("high_th", "new_track_th"),
    "strongsort": ("min_conf",),
}
"""From which score on a detection starts tracks."""
LOW: Mapping[str, str] = {
    "bytetrack": "min_conf",
    "occluboost": "track_low_thresh",
    "ocsort": "min_conf",
    "sfsort": "low_th",
}
"""From which score on it continues them; the others leave such detections out."""
BUFFER: Mapping[str, str] = {
    "boosttrack": "max_age",
    "bytetrack": "track_buffer",
    "deepocsort": "max_age",
    "hybridsort": "max_age",
    "occluboost": "max_age",
    "ocsort": "max_age",
    "strongsort": "max_age",
}
"""For how many ticks a lost track is kept."""
LOOKS = frozenset({"boosttrack", "deepocsort", "hybridsort", "occluboost"})
"""Those that go with embeddings and without; ``strongsort`` needs them, and the others do not look at them."""
IN_SECONDS = frozenset(HIGH) - {"sfsort"}
"""Those whose motion can be told in seconds, so that ticks without a frame count."""


def options_of(settings: Settings, rate: float, *, with_embeddings: bool) -> Options:
    """The options of the tracker that the settings name; none for a name that is not listed here."""
    name = settings.tracker
    options: Options = dict.fromkeys(HIGH.get(name, ()), settings.detection_threshold)
    if name in LOW:
        options[LOW[name]] = settings.low_detection_threshold
    if name in BUFFER:
        options[BUFFER[name]] = settings.lost_track_ticks(rate)
    if name in LOOKS:
        options["use_embeddings"] = with_embeddings
    if name in IN_SECONDS:
        options["variable_dt"] = True
    return options
