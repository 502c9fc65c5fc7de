"""Detection files in MOTChallenge's form, one a camera, with or without embeddings beside them.

A line is ``frame, id, left, top, width, height[, score, ...]``, separated by commas or spaces; the id is not looked at,
and a score that is missing or -1 is 1. A first line without any number is a heading. Lines may come in any order. A
line whose box is not finite, has no area or lies a million pixels away is left out, and so is one that says the same as
an earlier one. Embeddings stand in an ``.npy`` [N, D] of the same name, row by row with the lines of the file that are
no heading.
"""

from __future__ import annotations

import configparser
import logging
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.errors import DetectionFileError
from orchestrator.values import Bool, Float32, Float64, Int64

logger = logging.getLogger(__name__)

MAX_FRAME = 2**31 - 1
"""A frame number beyond this is taken for a mistake."""
MAX_PX = 1e6
"""A box that reaches beyond this is taken for a mistake."""
MIN_COLUMNS = 6
SCORE_COLUMN = 6
SHOWN = 8
"""Names of other files that a sentence says at most."""
FORMS = ("{camera}.txt", "DET_{camera}.txt", "{camera}/det/det.txt", "{camera}/det.txt")
"""Where a camera's file is looked for, in any letter case."""


@dataclass(frozen=True, slots=True)
class DetectionFile:
    """The detections of one camera, by rising frame and in the order of the file within a frame."""

    path: Path
    frames: Int64
    """[N]"""
    boxes: Float64
    """[N, 4] xyxy px."""
    scores: Float64
    """[N] 0..1."""
    embeddings: Float32
    """[N, D] L2-normalised; rows of zeros where there is none; D is 0 without an ``.npy``."""
    size_wh: tuple[int, int] | None
    """Of the frames, where a ``seqinfo.ini`` says so; px."""
    rate: float | None
    """Frames a second, where a ``seqinfo.ini`` says so."""

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def extent_wh(self) -> tuple[int, int]:
        """Width and height of the frames: as said, or else as far as boxes reach."""
        if self.size_wh is not None:
            return self.size_wh
        reach = np.ceil(self.boxes[:, 2:].max(axis=0, initial=1.0)).astype(int)
        return int(reach[0]), int(reach[1])


def find_file(folder: Path, camera_id: str) -> Path:
    """A camera's file in the folder, under one of ``FORMS``.

    Raises:
        DetectionFileError: there is none.
    """
    wanted = [form.format(camera=camera_id).lower() for form in FORMS]
    there = {str(path.relative_to(folder)).lower(): path for path in sorted(folder.rglob("*.txt"))}
    for name in wanted:
        if name in there:
            return there[name]
    known = ", ".join([*there][:SHOWN]) + (", ..." if len(there) > SHOWN else "") or "none"
    raise DetectionFileError(
        f"{folder}: no detections of camera {camera_id}; looked for {', '.join(wanted)}; *.txt there: {known}"
    )


def read_file(path: Path) -> DetectionFile:
    """Reads one camera's detections; what is left out is logged.

    Raises:
        DetectionFileError: the file cannot be read, a line is no detection, or the embeddings do not fit the lines.
    """
    rows, numbers = _read_lines(path)
    frames = _frames(path, rows, numbers)
    corner, size = rows[:, 2:4], rows[:, 4:6]
    scores = np.where(rows[:, SCORE_COLUMN] == -1, 1.0, rows[:, SCORE_COLUMN])
    usable: Bool = np.logical_and(np.isfinite(rows[:, 2:]).all(axis=1), (size > 0).all(axis=1))
    usable &= (np.abs(rows[:, 2:SCORE_COLUMN]) <= MAX_PX).all(axis=1)
    _warn(path, numbers[~usable], f"a box that is not finite, has no area or reaches beyond {MAX_PX:g} px")
    usable &= ~_repeated(frames, rows, usable)
    strange = usable & ((scores < 0) | (scores > 1))
    _warn(path, numbers[strange], "a score outside 0..1, which is taken for the nearer end", "lines with")
    embeddings = _read_embeddings(path.with_suffix(".npy"), len(rows))
    kept = np.flatnonzero(usable)
    order = kept[np.argsort(frames[kept], kind="stable")]
    size_wh, rate = _sequence_info(path)
    boxes = np.hstack([corner, corner + size])[order]
    return DetectionFile(path, frames[order], boxes, np.clip(scores[order], 0, 1), embeddings[order], size_wh, rate)


def _read_lines(path: Path) -> tuple[Float64, Int64]:
    """The first seven columns [N, 7], a missing score as -1, and the number [N] of each line, from 1."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DetectionFileError(f"{path}: cannot be read: {error}") from error
    rows, numbers = [], []
    for number, fields in _fields(text):
        rows.append(_numbers(path, number, fields))
        numbers.append(number)
    return np.array(rows, np.float64).reshape(-1, SCORE_COLUMN + 1), np.array(numbers, np.int64)


def _fields(text: str) -> Iterator[tuple[int, Sequence[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.rstrip(", \t").split("," if "," in line else None)
        if fields and not (number == 1 and not any(map(_is_number, fields))):
            yield number, fields


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(path: Path, number: int, fields: Sequence[str]) -> list[float]:
    if len(fields) < MIN_COLUMNS:
        raise DetectionFileError(f"{path}:{number}: {len(fields)} columns, at least {MIN_COLUMNS} are expected")
    try:
        values = [float(field) for field in fields[: SCORE_COLUMN + 1]]
    except ValueError as error:
        raise DetectionFileError(f"{path}:{number}: {error}") from error
    return values if len(values) > SCORE_COLUMN else [*values, -1.0]


def _frames(path: Path, rows: Float64, numbers: Int64) -> Int64:
    wrong = ~((rows[:, 0] >= 0) & (rows[:, 0] <= MAX_FRAME) & (rows[:, 0] == np.floor(rows[:, 0])))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DetectionFileError(f"{path}:{numbers[row]}: {rows[row, 0]:g} is no frame number (0 to {MAX_FRAME})")
    return rows[:, 0].astype(np.int64)


def _repeated(frames: Int64, rows: Float64, usable: Bool) -> Bool:
    """True for usable rows that say what an earlier one said of the same frame."""
    repeated: Bool = np.zeros(len(rows), np.bool_)
    chosen = np.flatnonzero(usable)
    said = np.column_stack([frames[chosen], rows[chosen, 2:]])
    _, first = np.unique(said, axis=0, return_index=True) if len(chosen) else (said, chosen)
    repeated[np.delete(chosen, first)] = True
    return repeated


def _read_embeddings(path: Path, lines: int) -> Float32:
    if not path.is_file():
        return np.zeros((lines, 0), np.float32)
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError, zipfile.BadZipFile) as error:
        raise DetectionFileError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, np.ndarray):
        raise DetectionFileError(f"{path}: an archive of arrays (.npz), not one array")
    if found.ndim != 2 or len(found) != lines or not (np.issubdtype(found.dtype, np.number) and np.isrealobj(found)):
        raise DetectionFileError(f"{path}: {found.dtype} {list(found.shape)}, not numbers [{lines}, D], one row a line")
    embeddings = found.astype(np.float64)
    embeddings[~np.isfinite(embeddings).all(axis=1)] = 0
    embeddings = np.ldexp(embeddings, -np.frexp(np.abs(embeddings).max(axis=1, initial=0.0, keepdims=True))[1])
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(length > 0, length, 1), np.float32)


def _sequence_info(path: Path) -> tuple[tuple[int, int] | None, float | None]:
    """What MOTChallenge's ``seqinfo.ini`` says of the frames: size and rate; None for what it does not say."""
    for folder in (path.parent, path.parent.parent):
        parser = configparser.ConfigParser()
        try:
            if parser.read(folder / "seqinfo.ini") and parser.has_section("Sequence"):
                section = parser["Sequence"]
                size = section.getint("imWidth"), section.getint("imHeight")
                whole = (size[0], size[1]) if size[0] and size[1] else None
                return whole, section.getfloat("frameRate")
        except (configparser.Error, ValueError, UnicodeDecodeError) as error:
            raise DetectionFileError(f"{folder / 'seqinfo.ini'}: {error}") from error
    return None, None


def _warn(path: Path, numbers: Int64, problem: str, what: str = "left out:") -> None:
    if len(numbers):
        first = ", ".join(str(number) for number in numbers[:5].tolist())
        more = ", ..." if len(numbers) > 5 else ""
        logger.warning("%s: %s %s (lines %s%s)", path, what, problem, first, more)
