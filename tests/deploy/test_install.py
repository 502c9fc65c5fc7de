from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from deploy import install


def test_one_install_at_a_time_makes_the_installer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Path] = []

    def create(home: Path, **_options: object) -> None:
        made.append(home)
        time.sleep(0.2)
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "uv").touch()

    monkeypatch.setenv("SPOTON_ENVS", str(tmp_path / "envs"))
    monkeypatch.setattr(install.venv, "create", create)
    monkeypatch.setattr(install.subprocess, "run", lambda *_arguments, **_options: None)
    threads = [threading.Thread(target=install._uv) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_an_interrupt_is_one_line_and_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_name: str) -> Path:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(install, "install", interrupted)
    monkeypatch.setattr("sys.argv", ["install.py", "app"])
    try:
        assert install.main() == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(capsys.readouterr().err.splitlines()) == 1
