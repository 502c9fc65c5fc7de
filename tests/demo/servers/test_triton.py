"""The real Triton with a small Python model: shared memory, a path with spaces, deaths and broken models."""

import asyncio
import os
import signal

import numpy as np
import pytest
import tritonclient.grpc.aio
from tritonclient.utils import shared_memory

from demo.servers.errors import MissingPartError, ServerDiedError
from demo.servers.state import SHARED_MEMORY, StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton, find_environment
from tests.processes import processes_of

CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_UINT8 dims: [4] }]
output [{ name: "y" data_type: TYPE_UINT8 dims: [4] }]
"""
MODEL = """
import onnxruntime
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        print("double is loaded", flush=True)

    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in inputs]
"""


def is_installed():
    try:
        find_environment()
    except MissingPartError:
        return False
    return True


pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not is_installed(), reason="Triton is not installed: python3 deploy/install.py triton"),
]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a folder with spaces"


@pytest.fixture
def repository(tmp_path):
    version = tmp_path / "my models" / "double" / "1"
    version.mkdir(parents=True)
    version.joinpath("model.py").write_text(MODEL)
    version.parent.joinpath("config.pbtxt").write_text(CONFIG)
    return version.parents[1]


def shared_memory_of(state):
    return list(SHARED_MEMORY.glob(f"{state.credentials().shm_prefix}*"))


async def infer_through_shared_memory(address, region):
    values = np.arange(4, dtype=np.uint8)
    memory = shared_memory.create_shared_memory_region(region, f"/{region}", values.nbytes)
    shared_memory.set_shared_memory_region(memory, [values])
    async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
        await client.register_system_shared_memory(region, f"/{region}", values.nbytes, client_timeout=10)
        tensor = tritonclient.grpc.aio.InferInput("x", [1, 4], "UINT8")
        tensor.set_shared_memory(region, values.nbytes)
        answer = await client.infer("double", [tensor], client_timeout=10)
    shared_memory.destroy_shared_memory_region(memory)
    return answer.as_numpy("y")


async def test_triton_serves_shared_memory_and_leaves_none(folder, repository):
    state = StateDirectory(folder)
    async with Supervisor(state) as supervisor:
        triton = Triton(state, repository)
        await supervisor.start([triton])
        answer = await infer_through_shared_memory(triton.address, f"{state.credentials().shm_prefix}-client")
        np.testing.assert_array_equal(answer, [[0, 2, 4, 6]])
        assert len(shared_memory_of(state)) == 1
        await supervisor.kill("triton")
        assert shared_memory_of(state) == []
        await supervisor.start([triton])
    assert shared_memory_of(state) == []
    assert processes_of(folder) == {}


async def lose_triton(state, repository):
    async with Supervisor(state) as supervisor:
        await supervisor.start([Triton(state, repository)])
        os.kill(supervisor.pid("triton"), signal.SIGKILL)
        await asyncio.sleep(30)


async def test_its_death_is_named_and_its_models_go_too(folder, repository):
    state = StateDirectory(folder)
    with pytest.raises(ServerDiedError, match=r"(?s)Triton was killed by signal 9.*double is loaded"):
        await lose_triton(state, repository)
    assert shared_memory_of(state) == []
    assert processes_of(folder) == {}


async def test_a_broken_model_is_named(folder, repository):
    (repository / "double" / "1" / "model.py").write_text("import no_such_package")
    state = StateDirectory(folder)
    with pytest.raises(ServerDiedError, match=r"(?s)Triton ended with status 1.*No module named 'no_such_package'"):
        await lose_triton(state, repository)
    assert shared_memory_of(state) == []


async def test_a_repository_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(ServerDiedError, match=r"(?s)Triton ended with status 1.*models"):
        await lose_triton(StateDirectory(folder), tmp_path / "nowhere")
