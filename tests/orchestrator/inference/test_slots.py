from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import InferenceError
from orchestrator.inference.slots import Region, sweep_abandoned

HOLD = """
import sys, time
from orchestrator.inference.slots import Region
region = Region.shared(sys.argv[1], 4096)
print(region.name, flush=True)
time.sleep(60)
"""


def named(prefix: str) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob(f"*{prefix}*")]


@pytest.fixture
def prefix():
    return f"spoton-test-{secrets.token_hex(4)}"


def test_a_region_is_written_through_and_goes_when_closed(prefix):
    region = Region.shared(prefix, 4096)
    region.data[:3] = (1, 2, 3)
    assert (Path("/dev/shm") / region.name).read_bytes()[:4] == b"\1\2\3\0"
    region.close()
    region.close()
    assert named(prefix) == []
    region.data[5] = 5


def test_no_room_is_an_error_at_once(prefix):
    with pytest.raises(InferenceError, match="no shared memory"):
        Region.shared(prefix, 1 << 50)
    assert named(prefix) == []


def test_only_what_killed_processes_left_is_swept(prefix):
    own = Region.shared(prefix, 4096)
    with subprocess.Popen([sys.executable, "-c", HOLD, prefix], stdout=subprocess.PIPE, text=True) as other:
        left = other.stdout.readline().strip()
        assert sweep_abandoned(prefix) == []
        other.send_signal(signal.SIGKILL)
    assert sweep_abandoned(prefix) == [left]
    assert named(prefix) == [own.name]
    own.close()
