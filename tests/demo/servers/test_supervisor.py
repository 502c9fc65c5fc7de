"""The supervisor with small processes: order, deaths, deadlines, signals, and what a kill leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.servers.errors import ServerDiedError, ServerStartError, StateInUseError, StoppedBySignalError
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from tests.demo.servers.fakes import STUBBORN, FakeServer
from tests.processes import processes_of

ROOT = Path(__file__).resolve().parents[3]


SUPERVISE = """
import asyncio, sys
from pathlib import Path
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from tests.demo.servers.fakes import SERVE, STUBBORN, FakeServer

async def main(folder):
    async with Supervisor(StateDirectory(folder / 'state'), lambda text: print(text, flush=True)) as supervisor:
        await supervisor.start([FakeServer(folder / 'a', 'a', {script})])
        await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def fake(tmp_path):
    """``fake(name, ...)`` makes a server that works in ``tmp_path/name``."""
    return lambda name, *arguments, **options: FakeServer(tmp_path / name, name, *arguments, **options)


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


async def test_starts_in_the_order_of_needs_and_stops_in_reverse(state, fake):
    events = []
    async with Supervisor(state, events.append) as supervisor:
        await supervisor.start([fake("c", needs=("b",)), fake("b", needs=("a", "absent")), fake("a")])
    assert [event.split(" in ")[0] for event in events] == [
        *("A ready", "B ready", "C ready"),
        *("stopping C", "stopping B", "stopping A"),
    ]


async def test_independent_servers_start_at_once(state, fake):
    servers = [fake("a"), fake("b")]
    both = asyncio.Barrier(2)
    for server in servers:

        async def prepare(original=server.prepare):
            async with asyncio.timeout(5):
                await both.wait()
            return await original()

        server.prepare = prepare
    async with Supervisor(state) as supervisor:
        await supervisor.start(servers)


async def supervise(state, servers, act=lambda supervisor: None):
    """Runs servers, acts on them, and waits for what comes of it."""
    async with Supervisor(state) as supervisor:
        await supervisor.start(servers)
        act(supervisor)
        await asyncio.sleep(30)


async def test_a_death_ends_the_block_and_shows_the_log(state, fake, tmp_path):
    began = time.monotonic()
    with pytest.raises(ServerDiedError, match=r"(?s)A was killed by signal 9.*serving") as caught:
        await supervise(state, [fake("a"), fake("b")], lambda run: os.kill(run.pid("a"), signal.SIGKILL))
    assert caught.value.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5
    assert processes_of(tmp_path) == {}
    await asyncio.sleep(0)  # the task is no longer being cancelled


async def test_a_client_that_fails_first_does_not_hide_the_death(state, fake):
    def crash(run):
        os.kill(run.pid("a"), signal.SIGKILL)
        raise ConnectionResetError

    with pytest.raises(ServerDiedError) as caught:
        await supervise(state, [fake("a")], crash)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_the_blocks_own_error_passes(state, fake, tmp_path):
    with pytest.raises(ZeroDivisionError):
        await supervise(state, [fake("a")], lambda run: 1 / 0)
    assert processes_of(tmp_path) == {}


async def test_a_cancelled_block_stops_everything(state, fake, tmp_path):
    started = asyncio.Event()
    task = asyncio.create_task(supervise(state, [fake("a", STUBBORN)], lambda run: started.set()))
    await started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_of(tmp_path) == {}


async def test_a_server_that_ends_while_starting_is_named(state, fake):
    broken = fake("a", "import sys; print('no such thing'); sys.exit(3)")
    with pytest.raises(ServerDiedError, match=r"(?s)A ended with status 3.*no such thing"):
        await supervise(state, [broken, fake("b")])


async def test_a_server_that_is_never_ready_is_named(state, fake, tmp_path):
    slow = fake("a", "import time; print('thinking', flush=True); time.sleep(60)", start_timeout_s=0.4)
    with pytest.raises(ServerStartError, match=r"(?s)A: not ready after 0.4 s.*thinking"):
        await supervise(state, [slow])
    assert processes_of(tmp_path) == {}


async def test_a_stubborn_server_is_killed_with_its_children_and_swept(state, fake, tmp_path):
    async with Supervisor(state) as supervisor:
        await supervisor.start([fake("a", STUBBORN)])
        assert len(processes_of(tmp_path / "a")) == 2
    assert processes_of(tmp_path) == {}
    assert not (tmp_path / "a" / "left-behind").exists()


async def test_a_killed_server_can_be_started_again(state, fake):
    server = fake("a")
    async with Supervisor(state) as supervisor:
        await supervisor.start([server])
        first = supervisor.pid("a")
        await supervisor.kill("a")
        await supervisor.start([server])
        assert supervisor.pid("a") != first


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything(state, fake, tmp_path, signum):
    with pytest.raises(StoppedBySignalError) as caught:
        await supervise(state, [fake("a")], lambda run: os.kill(os.getpid(), signum))
    assert caught.value.exit_status == 128 + signum
    assert processes_of(tmp_path) == {}


async def test_a_second_run_on_the_same_state_is_refused(state):
    async with Supervisor(state):
        with pytest.raises(StateInUseError, match=f"in use by process {os.getpid()}"):
            async with Supervisor(StateDirectory(state.path)):
                pass
    async with Supervisor(StateDirectory(state.path)):
        pass


def test_a_killed_supervisor_leaves_nothing_and_the_next_run_waits_for_that(state, fake, tmp_path):
    arguments = [sys.executable, "-c", SUPERVISE.format(script="STUBBORN"), str(tmp_path)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline().startswith("A ready")
        run.kill()
    assert processes_of(tmp_path / "a") != {}

    async def start_again():
        async with Supervisor(state) as supervisor:
            assert processes_of(tmp_path / "a") == {}
            assert not (tmp_path / "a" / "left-behind").exists()
            await supervisor.start([fake("a")])

    asyncio.run(start_again())


def test_the_kernel_ends_a_server_whose_supervisor_and_guardian_were_killed(tmp_path):
    arguments = [sys.executable, "-c", SUPERVISE.format(script="SERVE"), str(tmp_path)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline().startswith("A ready")
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        guardians = [int(pid) for pid in children if b"guardian.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(guardians) == 1
        for pid in (guardians[0], run.pid):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while processes_of(tmp_path / "a") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(tmp_path / "a") == {}


async def test_a_pattern_is_swept_at_the_end(state, tmp_path):
    left = tmp_path / "region-1"
    async with Supervisor(state) as supervisor:
        await supervisor.sweep_at_end(f"{tmp_path}/region-*")
        left.touch()
    assert not left.exists()
