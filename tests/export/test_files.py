import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.files import clear_partial, write_flushed, written_aside

WRITER = """
import sys, time
from pathlib import Path
from export.files import written_aside
with written_aside(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"half")
    print(partial, flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that is in the midst of writing ``path``, and where it writes it."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        return process, Path(process.stdout.readline().strip())


def test_what_a_killed_writer_left_goes_at_the_next_run_and_what_is_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "model[1].onnx"
    dead, left = writer(path)
    living, written = writer(path)
    try:
        dead.send_signal(signal.SIGKILL)
        assert dead.wait(10) == -signal.SIGKILL
        assert left.exists()
        with written_aside(path) as partial:
            assert sorted(tmp_path.iterdir()) == sorted([written, partial])
            partial.write_bytes(b"whole")
        clear_partial(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([written, path])
        assert path.read_bytes() == b"whole"
    finally:
        living.kill()
        living.wait(10)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(IsADirectoryError), written_aside(path) as partial:  # noqa: PT012
        partial.write_bytes(b"half")
        tmp_path.write_bytes(b"")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


def test_what_cannot_be_written_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=re.escape(f"'{tmp_path}'")), written_aside(tmp_path):
        pytest.fail("was begun")
    assert list(tmp_path.iterdir()) == []


def test_an_error_without_a_name_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")), written_aside(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_is_named_when_it_is_found_at_the_end_too(size: int) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        write_flushed(Path("/dev/full"), b"x" * size)


def test_who_sweeps_before_a_file_is_locked_takes_nothing_from_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def open_and_lose(path: Path, mode: str = "r", **options: object) -> object:
        file = opened(path, mode, **options)
        if mode == "xb":
            monkeypatch.setattr(Path, "open", opened)
            clear_partial(tmp_path)
        return file

    monkeypatch.setattr(Path, "open", open_and_lose)
    with written_aside(tmp_path / "model.onnx") as partial:
        partial.write_bytes(b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
