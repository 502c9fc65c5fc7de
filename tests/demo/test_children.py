import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARENT = """
import multiprocessing, os, time
from demo.children import end_with_parent

def child():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=child)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_ends_with_a_parent_that_is_killed(method, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(method=method))
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], env=environ, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(5)
        deadline = time.monotonic() + 5
        while alive(child):
            assert time.monotonic() < deadline, "it outlived its parent"
            time.sleep(0.05)


def alive(pid: int) -> bool:
    """A process that waits to be reaped is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
