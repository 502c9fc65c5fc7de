"""Triton's model repository on disk: versions of models, each whole before a server can see it.

::

    person_detector/config.pbtxt      that of the version which is served, and the only file to name it
    person_detector/1/                model.onnx or model.plan, what its backend needs, and its own config.pbtxt
    person_detector/2/
    person_detector/.3.part/          being written: Triton passes over folders whose name is no number
    person_detector/.2.withdrawn/     taken back; its number is not used again

A version is written aside, flushed to the disk and renamed, and is nobody's yet. Then the configuration is replaced,
which names it (``version_policy``): that one rename is the whole change, so that whoever looks, and whenever the writer
is killed, sees a version and the configuration that belongs to it.
"""

from __future__ import annotations

import fcntl
import filecmp
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from export.files import clear_partial, flush_folder, write_file, write_flushed
from export.model_source import ModelSource
from export.precision import Precision
from export.serving import (
    CONFIG,
    CROP_HW,
    ModelSpec,
    Serving,
    Target,
    default_serving,
    detector_spec,
    model_config,
    reid_spec,
)

BACKEND = Path(__file__).parent / "backends" / "onnxruntime_cpu" / "model.py"
KEPT_VERSIONS = 3
"""The newest versions that stay on the disk."""
QUANTIZED = ("QuantizeLinear", "DequantizeLinear")
_NAMED = re.compile(r"version_policy \{\s*specific \{\s*versions: \[(\d+)\]")
_WITHDRAWN = re.compile(r"\.(\d+)\.withdrawn")

Content = Mapping[str, Path | bytes]
"""Files of a version by name: what to copy, or what to write."""


class RepositoryError(ValueError):
    """A repository cannot do what was asked of it; what it serves stays as it was."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a model stands in a repository."""

    name: str
    version: int
    is_new: bool
    """False where the version that is served was this very model already."""


@contextmanager
def locked(repository: Path, name: str = ".lock") -> Iterator[None]:
    """Keeps other writers out while the block lasts, and makes the folder. Raises ``RepositoryError`` if one is in."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RepositoryError(f"{repository}: another export is writing to it") from None
        yield


def onnx_content(path: Path, target: Target) -> Content:
    """The files of a version that runs an ONNX file."""
    backend: Content = {BACKEND.name: BACKEND} if target is Target.CPU else {}
    return {target.model_file: path, **backend}


def place(
    repository: Path, spec: ModelSpec, content: Content, target: Target, serving: Serving | None = None
) -> Placed:
    """Makes ``content`` and its configuration the newest version of a model, unless they are that already.

    The caller holds ``locked``. Raises ``OSError`` (a full disk) with the repository as it was.
    """
    folder = repository / spec.name
    serving = serving or default_serving(spec.name, target)
    _clear_up(folder)
    have = versions(folder)
    if is_newest(repository, spec, content, target, serving):
        return Placed(spec.name, have[-1], is_new=False)
    version = max([*have, *_withdrawn(folder)], default=0) + 1
    config = _config(spec, serving, target, version)
    if not have:  # so that a server never guesses a configuration
        folder.mkdir(exist_ok=True)
        write_file(folder / CONFIG, config[CONFIG])
    _write_version(folder, version, {**content, **config})
    for old in have[: 1 - KEPT_VERSIONS]:
        shutil.rmtree(folder / str(old))
    for withdrawn in _withdrawn(folder)[:-1]:
        shutil.rmtree(folder / f".{withdrawn}.withdrawn")
    return Placed(spec.name, version, is_new=True)


def is_newest(
    repository: Path, spec: ModelSpec, content: Content, target: Target, serving: Serving | None = None
) -> bool:
    """Whether ``content`` and its configuration are the version of a model that is served already."""
    folder = repository / spec.name
    have = versions(folder)
    serving = serving or default_serving(spec.name, target)
    return bool(have) and _is_same(folder / str(have[-1]), {**content, **_config(spec, serving, target, have[-1])})


def withdraw(repository: Path, name: str) -> tuple[int, int]:
    """Takes the newest version of a model back; gives its number and that of the version before, now the newest.

    The caller holds ``locked``. Raises ``RepositoryError`` where there is no earlier version.
    """
    folder = repository / name
    have = versions(folder)
    if len(have) < 2:
        raise RepositoryError(f"{folder}: no version before {have[-1] if have else 'the first'} to go back to")
    newest, before = have[-1], have[-2]
    _name(folder, before)
    return newest, before


def reinstate(repository: Path, name: str, version: int) -> None:
    """Undoes ``withdraw`` of ``version``."""
    _name(repository / name, version)


def remove(repository: Path, name: str) -> None:
    """Removes the newest version as if it had never been placed; a model without another goes altogether."""
    folder = repository / name
    if len(versions(folder)) > 1:
        newest, _ = withdraw(repository, name)
        shutil.rmtree(folder / str(newest))
    else:
        shutil.rmtree(folder)


def versions(folder: Path) -> list[int]:
    """The versions in a model's folder, oldest first, up to the one that is served."""
    found = _numbered(folder)
    named = _named(folder)
    return [version for version in found if named is None or version <= named]


def _numbered(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())


def _named(folder: Path) -> int | None:
    """The version that the configuration names; None where it names none, which is the newest."""
    try:
        found = _NAMED.search((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def _name(folder: Path, version: int) -> None:
    write_file(folder / CONFIG, (folder / str(version) / CONFIG).read_bytes())


def _withdrawn(folder: Path) -> list[int]:
    found = (_WITHDRAWN.fullmatch(entry.name) for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(match[1]) for match in found if match)


def _clear_up(folder: Path) -> None:
    """Removes what a killed export left half-written, and puts aside what was taken back or never went live."""
    if not folder.is_dir():
        return
    clear_partial(folder)
    for version in set(_numbered(folder)) - set(versions(folder)):
        (folder / str(version)).rename(folder / f".{version}.withdrawn")


def _config(spec: ModelSpec, serving: Serving, target: Target, version: int) -> dict[str, bytes]:
    return {CONFIG: model_config(spec, serving, target, version).to_pbtxt().encode()}


def _write_version(folder: Path, version: int, content: Content) -> None:
    partial, whole = folder / f".{version}.part", folder / str(version)
    try:
        partial.mkdir()
        for name, source in content.items():
            write_flushed(partial / name, source)
        flush_folder(partial)
        partial.rename(whole)
        flush_folder(folder)
        _name(folder, version)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if version not in versions(folder):
            shutil.rmtree(whole, ignore_errors=True)
        if not versions(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_same(version: Path, content: Content) -> bool:
    return all(_has(version / name, source) for name, source in content.items())


def _has(path: Path, source: Path | bytes) -> bool:
    if not path.is_file():
        return False
    if isinstance(source, bytes):
        return path.read_bytes() == source
    return filecmp.cmp(path, source, shallow=False)


def read_model(path: Path) -> ModelSpec:
    """What a server must know of an ONNX file, whichever of the two it is; raises ``ValueError`` as those below do."""
    names = {value.name for value in _load(path).graph.input}
    return read_reid(path) if "crops" in names else read_detector(path)


def read_detector(path: Path) -> ModelSpec:
    """What a server must know of a detector's ONNX file; raises ``ValueError`` where it misses the contract."""
    model, shapes = _open(path)
    height, width, _ = _fixed(path, shapes, "images", 3)
    detections = _fixed(path, shapes, "scores", 1)[0]
    return detector_spec(
        _model_id(path, model), height=height, width=width, detections=detections, precision=precision_of(model)
    )


def read_reid(path: Path) -> ModelSpec:
    """What a server must know of an embedder's ONNX file; raises ``ValueError`` where it misses the contract."""
    model, shapes = _open(path)
    if _fixed(path, shapes, "crops", 3) != (*CROP_HW, 3):
        raise ValueError(f"{path}: crops must be {CROP_HW[0]} x {CROP_HW[1]} x 3")
    dimensions = _fixed(path, shapes, "embeddings", 1)[0]
    return reid_spec(_model_id(path, model), dimensions=dimensions, precision=precision_of(model))


def precision_of(model: onnx.ModelProto) -> Precision:
    """The lowest precision that an ONNX graph computes in."""
    if any(node.op_type in QUANTIZED for node in model.graph.node):
        return Precision.INT8
    halves = any(weights.data_type == onnx.TensorProto.FLOAT16 for weights in model.graph.initializer)
    return Precision.FP16 if halves else Precision.FP32


def _open(path: Path) -> tuple[onnx.ModelProto, Mapping[str, tuple[int, ...]]]:
    """The model and the shape of each of its tensors without the batch; an axis of no fixed length counts as 0."""
    model = _load(path)
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
        for value in (*model.graph.input, *model.graph.output)
    }
    return model, shapes


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"{path}: not a readable ONNX file") from error


def _fixed(path: Path, shapes: Mapping[str, tuple[int, ...]], name: str, rank: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise ValueError(f"{path}: no tensor {name!r}; it has {', '.join(shapes)}")
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"{path}: {name} must have {rank} fixed axes after the batch, got {shape}")
    return shape


def _model_id(path: Path, model: onnx.ModelProto) -> str:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    try:
        return ModelSource(properties["architecture"], properties["weights_digest"]).model_id
    except KeyError as missing:
        raise ValueError(f"{path}: no metadata {missing}; was it written by `python -m export`?") from None
