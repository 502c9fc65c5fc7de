"""The folder of one rendered scene: what lies where, who may write it, and whether it is complete."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SiteFiles:
    """Where a rendered scene lies."""

    root: Path

    @property
    def site_file(self) -> Path:
        """The site file."""
        return self.root / "site.yaml"

    @property
    def videos(self) -> Path:
        """The folder that mirrors the object store: ``{prefix}/sub_video_{index:02d}.mp4``."""
        return self.root / "videos"

    @property
    def map_truth(self) -> Path:
        """Everybody's position in every frame, CSV."""
        return self.truth / "map.csv"

    def camera_truth(self, camera_id: str) -> Path:
        """One camera's boxes of whole bodies, MOT format."""
        return self.truth / f"{camera_id}.txt"

    def camera_visible_truth(self, camera_id: str) -> Path:
        """The boxes of what is visible of the same people, row by row as in ``camera_truth``."""
        return self.truth / f"{camera_id}_visible.txt"

    @property
    def homographies(self) -> Path:
        """The folder of survey points that are not in the site file."""
        return self.root / "homography"

    @property
    def truth(self) -> Path:
        """The folder of all ground truth."""
        return self.root / "truth"

    @property
    def description(self) -> Path:
        """What was rendered, by which version; its ``version`` is null until everything else is complete."""
        return self.root / "scene.json"


@contextmanager
def held(files: SiteFiles) -> Iterator[None]:
    """The folder, made where it is missing, for one process at a time.

    Raises ``OSError`` where it cannot be made, or another process renders into it.
    """
    files.root.mkdir(parents=True, exist_ok=True)
    folder = os.open(files.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"another process is rendering into {files.root}") from None
        yield
    finally:
        os.close(folder)


def is_complete(files: SiteFiles, version: str) -> bool:
    """Whether all that this version writes is there."""
    described = _described(files)
    return described is not None and described["version"] == version


def clear(files: SiteFiles) -> None:
    """Remove what an earlier rendering left, finished or not, and mark the folder as begun.

    Raises ``FileExistsError`` where something is in the way that no rendering left.
    """
    folders = (files.videos, files.homographies, files.truth)
    if _described(files) is None and not files.map_truth.exists():
        for path in (files.description, files.site_file, *folders):
            if path.exists():
                raise FileExistsError(f"{path} was not rendered by this program: remove it, or choose another folder")
    describe(files, {"version": None})
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()


def describe(files: SiteFiles, description: Mapping[str, Any]) -> None:
    """Write the description, all of it or nothing."""
    draft = files.description.with_suffix(".partial")
    draft.write_text(json.dumps(description, indent=2) + "\n")
    draft.replace(files.description)


def _described(files: SiteFiles) -> dict[str, Any] | None:
    try:
        found = json.loads(files.description.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "version" in found else None
