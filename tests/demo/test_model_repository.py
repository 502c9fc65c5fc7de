from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from demo import model_repository
from demo.model_repository import CONFIG, ModelsError, prepare_models
from export.config import load_config
from export.serving import Target


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The demo's own configuration beside files that are no weights."""
    shutil.copy(CONFIG, tmp_path / "export.yaml")
    for name in ("detector.safetensors", "reid.safetensors"):
        (tmp_path / name).write_bytes(b"these are no weights")
    return tmp_path / "export.yaml"


def test_the_committed_configuration_names_the_committed_weights() -> None:
    config = load_config(CONFIG)
    assert config.target is Target.CPU
    assert config.detector.weights.is_file()
    assert config.reid.weights.is_file()
    assert config.repository.resolve() == CONFIG.parents[2] / ".spoton" / "model_repository"


async def test_missing_weights_are_named(tmp_path: Path, config: Path) -> None:
    (tmp_path / "reid.safetensors").unlink()
    with pytest.raises(ModelsError, match=r"No such file or directory: .*reid\.safetensors"):
        await prepare_models(tmp_path / "repository", config)


async def test_a_failed_export_shows_its_last_lines_and_places_nothing(tmp_path: Path, config: Path) -> None:
    with pytest.raises(ModelsError, match=r"the last lines of the export:\nexport: .*detector\.safetensors: "):
        await prepare_models(tmp_path / "repository", config)
    assert not (tmp_path / "repository").exists()


async def test_an_export_that_takes_too_long_is_ended(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_repository, "EXPORT_TIMEOUT_S", 0.01)
    with pytest.raises(ModelsError, match="took more than 0 s"):
        await prepare_models(tmp_path / "repository", config)


async def test_a_cancelled_export_leaves_no_process(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def remember(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await create(*arguments, **options))  # type: ignore[arg-type]
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    preparing = asyncio.create_task(prepare_models(tmp_path / "repository", config))
    while not started:
        await asyncio.sleep(0.01)
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    assert started[0].returncode == -9
