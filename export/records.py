"""What a file was made from, noted beside it, so that it is made once and again when any of that changes.

``model.onnx`` has its record in ``model.onnx.json``. A file that was cut short, or changed by others, is not current.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.files import write_file

Facts = Mapping[str, Any]
"""Whatever the file depends on, as JSON: digests, sizes, versions."""


def is_current(path: Path, facts: Facts) -> bool:
    """Whether ``path`` was made from ``facts`` and is as it was then."""
    record = read_record(path)
    return record is not None and record["made_from"] == facts and record["sha256"] == digest(path)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a file; None where there is none, or no file."""
    try:
        record = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    complete = isinstance(record, dict) and {"made_from", "sha256"} <= record.keys()
    return record if complete and path.is_file() else None


def write_record(path: Path, facts: Facts) -> None:
    """Notes what a finished file was made from."""
    record = {"made_from": facts, "sha256": digest(path)}
    write_file(record_path(path), (json.dumps(record, indent=2, sort_keys=True) + os.linesep).encode())


def record_path(path: Path) -> Path:
    """Where the record of a file stands."""
    return path.with_name(f"{path.name}.json")


def digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
