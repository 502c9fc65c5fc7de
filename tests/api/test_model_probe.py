"""api/model_probe.py against a real Triton with tiny models, which comes late, goes away and comes back."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

import pytest
import pytest_asyncio
from tritonclient.grpc.aio import InferenceServerClient

from api.health import REMEMBER_S, Health
from api.model_probe import ModelProbe
from api.models import ComponentState
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from orchestrator.errors import InferenceError, ModelContractError
from orchestrator.settings import load_settings
from tests.api.relay import relay
from tests.orchestrator.inference.models import write_models

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(home):
    """The gRPC port of a real Triton."""
    state = StateDirectory(home / "state")
    async with Supervisor(state) as supervisor:
        server = Triton(state, write_models(home / "models"))
        await supervisor.start([server])
        yield int(server.address.rpartition(":")[2])


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


async def answered(port, model):
    """How many requests a model has answered."""
    client = InferenceServerClient(f"127.0.0.1:{port}")
    try:
        statistics = await client.get_inference_statistics(model, client_timeout=5)
        return statistics.model_stats[0].inference_stats.success.count
    finally:
        await client.close()


async def until_up(probe):
    """Asks until the model is up: the channel waits a moment before it tries an address again."""
    deadline = time.monotonic() + 20
    component = None
    while component is None or component.status is not ComponentState.UP:
        assert time.monotonic() < deadline, component
        with suppress(InferenceError):
            component = await probe()
        await asyncio.sleep(0.1)
    return component


async def test_a_model_counts_once_it_has_answered_and_again_after_it_was_away(triton):
    port = free_port()
    async with ModelProbe.open(load_settings(triton_url=f"127.0.0.1:{port}")) as models:
        health = Health({"detector": models.detector, "reid": models.reid}, homographies_computed=True)
        assert (await health.report()).detector_model_loaded is False
        with pytest.raises(InferenceError):
            await models.detector()
        async with relay(port, "127.0.0.1", triton):
            await asyncio.gather(until_up(models.detector), until_up(models.reid))
            assert (await models.detector()).detail == "bright-1a2b:1"
            assert [await answered(triton, name) for name in ("person_detector", "person_reid")] == [1, 1]
        with pytest.raises(InferenceError):
            await models.detector()
        async with relay(port, "127.0.0.1", triton):
            await asyncio.gather(until_up(models.detector), until_up(models.reid))
            assert await answered(triton, "person_detector") == 2
            await asyncio.sleep(REMEMBER_S)
            report = await health.report()
    assert [component.status for component in report.components.values()] == ["up", "up"], report.components
    assert report.model_dump(by_alias=True)["prototype_tracker_loaded (reid_model)"] is True
    assert (report.status, report.detector_model_loaded) == ("healthy", True)


async def test_what_is_not_as_it_should_be_is_told(triton):
    address = f"127.0.0.1:{triton}"
    async with ModelProbe.open(load_settings(triton_url=address, detector_model="slow_detector")) as models:
        assert (await models.detector()).status is ComponentState.WARMING
        assert (await until_up(models.detector)).status is ComponentState.UP
    for wrong, words in (("float_detector", "UINT8"), ("no_such_model", "no_such_model")):
        async with ModelProbe.open(load_settings(triton_url=address, detector_model=wrong)) as models:
            with pytest.raises(ModelContractError, match=words):
                await until_up(models.detector)
