"""A BoxMOT tracker's state as bytes, and back.

BoxMOT offers no way to save a tracker, so its attributes are pickled. A pickle can run code when it is read; the reader
here therefore builds nothing but track and filter classes, numpy arrays and plain containers, and names no function but
the few harmless ones that tracks hold.
"""

from __future__ import annotations

import inspect
import io
import pickle
from types import MethodType
from typing import Any

from boxmot.trackers.common.motion import MotionModelAdapter, create_motion_model

from orchestrator.tracking.memory import TrackMemory

CLASS_MODULES = ("boxmot.trackers.", "boxmot.motion.", "boxmot.structures.", "orchestrator.tracking.memory")
"""Where classes that a state may hold live; functions from there are refused."""
PLAIN = {
    ("builtins", "set"),
    ("orchestrator.tracking.state", "motion_model"),
    ("orchestrator.tracking.state", "motion_method"),
    ("numpy.linalg", "inv"),
    ("boxmot.trackers.common.association.strongsort", "_nn_cosine_distance"),
    ("collections", "deque"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}


def pack_state(engine: Any, memory: TrackMemory) -> bytes:
    """The engine's attributes (its functions are rebuilt by its constructor) and the wrapper's memory.

    The engine's lists of past embeddings are emptied first: BotSort writes them and never reads them, and they are
    nine tenths of the bytes.
    """
    for name in ("active_tracks", "lost_stracks", "removed_stracks"):
        for track in getattr(engine, name, ()):
            if hasattr(track, "smooth_feat"):
                track.features.clear()
    attributes = {name: value for name, value in vars(engine).items() if not callable(value)}
    buffer = io.BytesIO()
    _StateWriter(buffer, protocol=5).dump((attributes, memory))
    return buffer.getvalue()


def unpack_state(state: bytes) -> tuple[dict[str, Any], TrackMemory]:
    """What ``pack_state`` was given, the engine as its attributes.

    Raises:
        ValueError: the bytes are no such state, or hold something that a state cannot hold.
    """
    try:
        attributes, memory = _StateReader(io.BytesIO(state)).load()
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"not the state of a tracker: {error}") from error
    if not isinstance(memory, TrackMemory) or not isinstance(attributes, dict):
        raise ValueError("not the state of a tracker")  # noqa: TRY004
    return attributes, memory


def motion_model(kind: str, arguments: dict[str, Any]) -> MotionModelAdapter:
    """A motion model as BoxMOT makes it; it has no state, but a function in it that cannot be pickled."""
    return create_motion_model(kind, **arguments)


def motion_method(model: MotionModelAdapter, name: str) -> Any:
    """One of the two conversions of a motion model, which some tracks hold."""
    return {"to_measurement": model.to_measurement, "to_box": model.to_box}[name]


class _StateWriter(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MethodType) and isinstance(value.__self__, MotionModelAdapter):
            return motion_method, (value.__self__, value.__name__)
        if not isinstance(value, MotionModelAdapter):
            return NotImplemented
        bound = inspect.getclosurevars(value._filter_factory).nonlocals
        chosen = {name: bound[name] for name in ("max_obs", "adaptive_kf", "cls_id") if name in bound}
        return motion_model, (value.kind.value, {"is_obb": value.is_obb, **chosen})


class _StateReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in PLAIN:
            return super().find_class(module, name)
        if module.startswith(CLASS_MODULES) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in it")
