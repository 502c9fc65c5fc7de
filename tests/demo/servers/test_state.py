"""The state directory: its lock and its secrets."""

import stat

import pytest

from demo.servers.errors import StateInUseError
from demo.servers.state import StateDirectory, write_private


def test_credentials_are_generated_once_and_private(tmp_path):
    state = StateDirectory(tmp_path)
    credentials = state.credentials()
    assert StateDirectory(tmp_path).credentials() == credentials
    assert StateDirectory(tmp_path / "..").credentials() != credentials
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old and longer")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_lock_is_needed_and_let_go(tmp_path):
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    with pytest.raises(StateInUseError, match="was not acquired"):
        _ = first.lock_fd
    first.acquire()
    with pytest.raises(StateInUseError, match="is in use by process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_logs_of_the_run_before_are_removed(tmp_path):
    state = StateDirectory(tmp_path)
    state.acquire()
    (state.logs / "a.log").write_text("old")
    state.release()
    state.acquire()
    assert list(state.logs.iterdir()) == []
    state.release()
