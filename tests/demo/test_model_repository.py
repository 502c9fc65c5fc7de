from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from demo import model_repository
from demo.model_repository import DETECTOR_WEIGHTS, REID_WEIGHTS, ModelsError, prepare_models


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in (DETECTOR_WEIGHTS, REID_WEIGHTS):
        (folder / name).write_bytes(b"these are no weights")
    return folder


async def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsError, match=r"detector.safetensors is missing"):
        await prepare_models(tmp_path / "repository", tmp_path)


async def test_exported_once_and_again_when_the_weights_change(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[Path] = []

    async def note(folder: Path, _weights: Path) -> None:
        exported.append(folder)
        for model in model_repository.MODELS:
            (folder / model).mkdir(parents=True, exist_ok=True)
            (folder / model / "config.pbtxt").touch()

    monkeypatch.setattr(model_repository, "_run_export", note)
    repository = tmp_path / "repository"
    assert await prepare_models(repository, weights)
    assert not await prepare_models(repository, weights)
    (weights / REID_WEIGHTS).write_bytes(b"others")
    assert await prepare_models(repository, weights)
    assert exported == [repository, repository]
    shutil.rmtree(repository)
    assert await prepare_models(repository, weights)


async def test_a_failed_export_shows_its_last_lines_and_is_not_taken_for_done(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_repository, "ROOT", tmp_path)
    with pytest.raises(ModelsError, match=r"the last lines of the export:\n.*No module named 'demo'"):
        await prepare_models(tmp_path / "repository", weights)
    assert not (tmp_path / "repository.version").exists()


async def test_a_cancelled_export_leaves_no_process(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def remember(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await create(*arguments, **options))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    preparing = asyncio.create_task(prepare_models(tmp_path / "repository", weights))
    while not started:
        await asyncio.sleep(0.01)
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    assert started[0].returncode == -9
