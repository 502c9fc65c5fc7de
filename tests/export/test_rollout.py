"""Versions are tried, go live and go back in the real Triton while others ask it without a pause."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import TensorProto, helper, numpy_helper

from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from export.repository import Placed, RepositoryError, locked, onnx_content, place, read_reid, versions
from export.rollout import go_live, publish, roll_back
from export.served import Server, ServerError
from export.serving import REID, Serving, Target
from export.trial import Model, _load
from export.verify import ParityError

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

ASKING = 4
QUICK = Serving((1,), 1, queue_delay_us=0, timeout_s=30, max_queue_size=64, max_batch_size=4, rows_per_run=4)


def write_embedder(path: Path, mark: float, *, operator: str = "Add") -> Path:
    """An embedder whose every answer is ``mark``, three times; with another ``operator`` one that does not load."""
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["batch", 256, 128, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 3])
    constants = {"zero": np.zeros(1, np.float32), "mark": np.full(3, mark, np.float32), "axes": np.array([1, 2])}
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "zero"], ["nothing"]),
        helper.make_node(operator, ["nothing", "mark"], ["embeddings"]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [crops], [embeddings], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"architecture": "marked", "weights_digest": f"{mark:.0f}" * 12})
    onnx.save(model, path)
    return path


def put(repository: Path, onnx_file: Path) -> Placed:
    return place(repository, read_reid(onnx_file), onnx_content(onnx_file, Target.CPU), Target.CPU, QUICK)


def model(onnx_file: Path) -> Model:
    return Model(read_reid(onnx_file), onnx_content(onnx_file, Target.CPU), QUICK)


def is_ready(server: Server) -> bool:
    """As the health check asks it."""
    return bool(server._client.is_model_ready(REID, client_timeout=10))


@dataclass
class Asked:
    """What those who asked heard."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    """When each was asked, and its mark; in the order in which they came."""
    failures: list[Exception] = field(default_factory=list)

    def since(self, asked: float) -> list[float]:
        """The marks of what was asked from then on."""
        return [mark for sent, mark in self.answers if sent >= asked]


@contextmanager
def asking(address: str) -> Iterator[Asked]:
    """Several clients that ask without a pause for as long as the block lasts."""
    asked, enough = Asked(), threading.Event()

    def ask() -> None:
        with Server(address, timeout_s=30) as server:
            model = server.describe(REID)
            while not enough.is_set():
                sent = time.monotonic()
                try:
                    found = server.infer(model, np.zeros((1, 256, 128, 3), np.uint8))
                    asked.answers.append((sent, float(found["embeddings"][0, 0])))
                except Exception as error:
                    asked.failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = tmp_path / "models"
    with locked(repository):
        put(repository, write_embedder(tmp_path / "one.onnx", 1))
    return repository


@pytest_asyncio.fixture(loop_scope="module")
async def address(repository: Path, tmp_path: Path) -> AsyncIterator[str]:
    state = StateDirectory(tmp_path / "state")
    async with Supervisor(state) as supervisor:
        triton = Triton(state, repository)
        await supervisor.start([triton])
        yield triton.address


def answer(server: Server, name: str = REID) -> float:
    return float(server.infer(server.describe(name), np.zeros((1, 256, 128, 3), np.uint8))["embeddings"][0, 0])


async def test_versions_go_live_and_back_without_a_dropped_request(
    repository: Path, address: str, tmp_path: Path
) -> None:
    def work() -> None:
        with Server(address) as server, asking(address) as asked:
            assert answer(server) == 1
            publish(repository, [model(write_embedder(tmp_path / "two.onnx", 2))], Target.CPU, server)
            assert answer(server) == 2
            assert server.describe(REID).model_id == "marked-222222222222"
            bad = model(write_embedder(tmp_path / "bad.onnx", 3, operator="Nonsense"))
            with pytest.raises(ServerError, match=r"loading person_reid\.trial: .*Nonsense"):
                publish(repository, [bad], Target.CPU, server)
            assert versions(repository / REID) == [1, 2]
            assert answer(server) == 2
            assert is_ready(server)
            assert roll_back(repository, REID, server) == 1
            assert answer(server) == 1
            assert server.describe(REID).model_id == "marked-111111111111"
            publish(repository, [model(write_embedder(tmp_path / "four.onnx", 4))], Target.CPU, server)
            assert answer(server) == 4
            assert versions(repository / REID) == [1, 3]
            live = time.monotonic()
            while len(asked.since(live)) < 2 * ASKING and not asked.failures:
                time.sleep(0.01)
        assert asked.failures == []
        assert set(asked.since(live)) == {4}
        marks = Counter(asked.since(0))
        assert 3 not in marks
        assert all(marks[mark] > ASKING for mark in (1, 2, 4)), marks

    await asyncio.to_thread(work)


async def test_a_version_that_is_not_proven_never_answers_anybody(
    repository: Path, address: str, tmp_path: Path
) -> None:
    """Neither while it is on trial, nor after: and somebody else may roll back meanwhile."""
    heard: list[float] = []

    def prove(names: Mapping[str, str]) -> None:
        assert names == {REID: "person_reid.trial"}
        heard.append(answer(server, names[REID]))
        live = time.monotonic()
        while len(asked.since(live)) < 2 * ASKING and not asked.failures:
            time.sleep(0.01)
        with locked(repository):
            assert versions(repository / REID) == [1]
        with pytest.raises(RepositoryError, match="another export is writing"):
            publish(repository, [model(tmp_path / "two.onnx")], Target.CPU, server)
        raise ParityError("nobody found")

    def work() -> None:
        left_by_the_killed = model(tmp_path / "one.onnx")
        _load(server, "person_reid.trial", left_by_the_killed, Target.CPU)
        with pytest.raises(ParityError, match="nobody found"):
            publish(repository, [model(write_embedder(tmp_path / "two.onnx", 2))], Target.CPU, server, prove)
        with pytest.raises(ServerError, match=r"person_reid\.trial"):
            server.describe("person_reid.trial")
        assert answer(server) == 1
        assert is_ready(server)
        publish(repository, [model(tmp_path / "one.onnx")], Target.CPU, server, proven.append)

    proven: list[Mapping[str, str]] = []
    with Server(address) as server, asking(address) as asked:
        await asyncio.to_thread(work)
    assert heard == [2]
    assert asked.failures == []
    assert set(asked.since(0)) == {1}
    assert versions(repository / REID) == [1]
    assert proven == [{}]


async def test_a_version_that_fails_where_it_was_tried_leaves_the_repository_as_it_was(
    repository: Path, address: str, tmp_path: Path
) -> None:
    """As where two instances of it do not fit the memory that one did."""

    def work() -> None:
        with Server(address) as server, locked(repository):
            placed = put(repository, write_embedder(tmp_path / "bad.onnx", 3, operator="Nonsense"))
            with pytest.raises(ServerError, match=r"loading person_reid version 2: .*Nonsense"):
                go_live(repository, [placed], server)
            assert answer(server) == 1
            assert is_ready(server)

    await asyncio.to_thread(work)
    assert versions(repository / REID) == [1]


async def test_nothing_to_go_back_to(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no version before 1 to go back to"):
        roll_back(repository, REID, None)
    with pytest.raises(RepositoryError, match="no model 'nobody' there"):
        roll_back(repository, "nobody", None)
