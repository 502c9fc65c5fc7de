"""Inference against a real Triton with tiny models."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from orchestrator.errors import InferenceError, ModelContractError, ModelReplacedError
from orchestrator.inference.client import open_inference
from orchestrator.inference.protocols import ModelId
from orchestrator.scaling import write_letterbox
from orchestrator.values import Frame
from tests.orchestrator.inference.models import INPUT_HW

pytestmark = pytest.mark.servers

SIZES_HW = [(96, 128), (480, 320), (48, 64)]


def frame_with_person(size_hw, box, colour=(250, 250, 250)) -> Frame:
    pixels = np.zeros((*size_hw, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = colour
    return Frame("c01", 0, 0.0, pixels)


FRAMES = [
    frame_with_person(SIZES_HW[0], (40, 20, 60, 80)),
    frame_with_person(SIZES_HW[1], (100, 100, 200, 400)),
    frame_with_person(SIZES_HW[2], (0, 0, 0, 0)),
]
BOXES = [(40, 20, 60, 80), (100, 100, 200, 400)]


async def detect(inference, frames=FRAMES):
    detector = inference.detector
    slot = await detector.acquire()
    try:
        for frame, image in zip(frames, slot.images, strict=True):
            write_letterbox(frame.pixels, image)
        return await detector.detect(slot, [frame.size_hw for frame in frames])
    finally:
        detector.release(slot)


def regions_of(prefix: str) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob(f"{prefix}*")]


async def registered(triton: str) -> list[str]:
    async with InferenceServerClient(triton) as client:
        return list((await client.get_system_shared_memory_status()).regions)


@pytest.mark.parametrize("sharing", ["auto", "on", "off"])
async def test_boxes_come_back_in_source_pixels(settings, shm_prefix, triton, sharing):
    async with open_inference(settings(triton_shared_memory=sharing), cameras=3) as inference:
        assert inference.detector.input_hw == INPUT_HW
        assert bool(regions_of(shm_prefix)) == (sharing != "off")
        found = await detect(inference)
    assert [len(detections) for detections in found] == [2, 2, 0]
    for detections, box, size_hw in zip(found, BOXES, SIZES_HW, strict=False):
        pixel = 1 / min(INPUT_HW[0] / size_hw[0], INPUT_HW[1] / size_hw[1])
        assert detections.boxes[0] == pytest.approx(box, abs=2 * pixel)
        assert detections.scores.tolist() == pytest.approx([0.9, 0.3])
        assert detections.boxes[1, 0] == 0
    assert [name for name in await registered(triton) if name.startswith(shm_prefix)] == []


async def test_models_are_named_as_the_server_names_them(settings):
    async with open_inference(settings(), cameras=1) as inference:
        assert inference.detector.model == ModelId("bright-1a2b", "1")
        assert inference.embedder.model == ModelId("person_reid", "1")
        assert inference.embedder.dimension == 4


async def test_slots_are_the_back_pressure(settings):
    async with open_inference(settings(ticks_in_flight=2), cameras=1) as inference:
        detector = inference.detector
        first, second = await detector.acquire(), await detector.acquire()
        waiting = asyncio.create_task(detector.acquire())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        detector.release(first)
        detector.release(first)
        assert await waiting is first
        late = asyncio.create_task(detector.acquire())
        await asyncio.sleep(0.01)
        assert not late.done()
        late.cancel()
        detector.release(second)


@pytest.mark.parametrize("sharing", ["on", "off"])
async def test_crops_of_all_frames_share_requests(settings, sharing):
    colours = [(10, 20, 200), (200, 20, 10), (20, 200, 20), (90, 90, 90)]
    frames = [frame_with_person((300, 200), (0, 0, 200, 300), colour) for colour in colours]
    box = np.array([[20, 30, 80, 200]], np.float32)
    boxes = [np.repeat(box, 2, 0), box[:0], box, np.repeat(box, 2, 0)]
    async with open_inference(settings(triton_shared_memory=sharing), cameras=1) as inference:
        found = await inference.embedder.embed(frames, boxes)
    assert [rows.shape for rows in found] == [(2, 4), (0, 4), (1, 4), (2, 4)]
    for rows, colour, together in [(found[0], colours[0], 3), (found[2], colours[2], 3), (found[3], colours[3], 2)]:
        expected = np.array([*colour, together])
        assert rows == pytest.approx(np.tile(expected / np.linalg.norm(expected), (len(rows), 1)), abs=1e-4)


async def test_boxes_outside_the_frame_are_cut_at_its_edge(settings):
    frame = frame_with_person((100, 50), (0, 0, 50, 100), (60, 60, 60))
    boxes = np.array([[-40, -40, 20, 30], [49.5, 99.5, 49.6, 99.6], [400, 400, 500, 500]], np.float32)
    async with open_inference(settings(), cameras=1) as inference:
        (rows,) = await inference.embedder.embed([frame], [boxes])
    assert rows[:, :3] == pytest.approx(rows[0, 0], abs=1e-3)


async def test_no_boxes_send_no_request(settings, triton):
    async with open_inference(settings(), cameras=1) as inference, InferenceServerClient(triton) as client:

        async def requests() -> int:
            statistics = await client.get_inference_statistics("person_reid")
            return statistics.model_stats[0].inference_stats.success.count

        before = await requests()
        assert [rows.shape for rows in await inference.embedder.embed(FRAMES, [np.zeros((0, 4), np.float32)] * 3)] == [
            (0, 4)
        ] * 3
        assert await inference.embedder.embed([], []) == []
        assert await requests() == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"detector_model": "float_detector"},
            r"'float_detector', input 'images': expected UINT8 .*, found FP32 \[any, 48, 64, 3\]",
        ),
        (
            {"detector_model": "scoreless_detector"},
            r"output 'scores': expected FP32 .*, found no such output; it has 'boxes'",
        ),
        ({"detector_model": "shapeless_detector"}, r"'images': expected fixed height and width, found UINT8"),
        (
            {"reid_model": "square_reid"},
            r"'square_reid', input 'crops': expected UINT8 \[any, 256, 128, 3\], found .*128, 128",
        ),
        ({"detector_model": "nobody"}, "does not serve model 'nobody'"),
    ],
)
async def test_models_that_do_not_fit_are_refused(settings, wrong, said):
    with pytest.raises(ModelContractError, match=said):
        async with open_inference(settings(**wrong), cameras=1):
            pass


async def test_a_server_that_is_down_is_named(settings):
    with pytest.raises(InferenceError, match=r"Triton at 127.0.0.1:1 was not ready within 0.3 s"):
        async with open_inference(settings(triton_url="127.0.0.1:1", triton_start_timeout_s=0.3), cameras=1):
            pass


async def test_a_model_of_others_that_does_not_load_keeps_nobody_away(settings, triton):
    """As after an export whose new version was refused: Triton is unready from then on, and serves what it has."""
    tensors = {kind: [{"name": kind, "data_type": "TYPE_FP32", "dims": [1]}] for kind in ("input", "output")}
    config = json.dumps({"name": "others", "backend": "python", "max_batch_size": 0, **tensors})
    broken, whole = b"import nonsense", b"class TritonPythonModel:\n    def execute(self, requests): pass"
    async with InferenceServerClient(triton) as client:
        with pytest.raises(InferenceServerException, match="nonsense"):
            await client.load_model("others", config=config, files={"file:1/model.py": broken})
        assert not await client.is_server_ready()
        async with open_inference(settings(triton_start_timeout_s=5.0), cameras=3) as inference:
            assert [len(detections) for detections in await detect(inference)] == [2, 2, 0]
        with pytest.raises(InferenceError, match="was not ready within 1 s"):
            async with open_inference(settings(triton_start_timeout_s=1.0, reid_model="others"), cameras=3):
                pass
        await client.load_model("others", config=config, files={"file:1/model.py": whole})
        await client.unload_model("others")
        await client.load_model("person_reid")
        assert await client.is_server_ready()


async def test_a_version_that_takes_the_place_of_another_is_noticed_once(settings):
    """An export has the server take it while a task runs: looks of two versions must not pass for one another's."""
    frame, box = frame_with_person((64, 64), (0, 0, 64, 64), (200, 10, 10)), np.array([[0, 0, 64, 64]], np.float32)
    async with open_inference(settings(), cameras=1) as inference:
        embedder = inference.embedder
        embedder._info = replace(embedder._info, model_id=ModelId("person_reid", "7"))  # as if it had begun with that
        with pytest.raises(
            ModelReplacedError, match="version 1 of 'person_reid' is in the place of version 7"
        ) as caught:
            await embedder.embed([frame], [box])
        assert caught.value.retryable
        assert embedder.model == ModelId("person_reid", "1")
        assert [looks.shape for looks in await embedder.embed([frame], [box])] == [(1, 4)]


async def test_a_slow_model_runs_into_the_deadline(settings):
    with pytest.raises(InferenceError, match=r"model 'slow_detector': no answer within 0.3 s") as caught:
        async with open_inference(settings(detector_model="slow_detector", triton_timeout_s=0.3), cameras=1):
            pass
    assert caught.value.retryable


async def test_a_model_that_fails_is_named(settings, triton):
    frame = frame_with_person((64, 64), (0, 0, 64, 64), (13, 13, 13))
    async with open_inference(settings(), cameras=2) as inference:
        with pytest.raises(InferenceError, match=f"{triton}, model 'person_reid': .*unlucky"):
            await inference.embedder.embed([frame], [np.array([[0, 0, 64, 64]], np.float32)])


async def test_a_server_that_forgot_the_shared_memory_is_told_again(settings, shm_prefix, triton):
    async with open_inference(settings(triton_shared_memory="on"), cameras=3) as inference:
        async with InferenceServerClient(triton) as client:
            for name in regions_of(shm_prefix):
                await client.unregister_system_shared_memory(name)
        found = await asyncio.gather(detect(inference), detect(inference))
        assert [[len(detections) for detections in tick] for tick in found] == [[2, 2, 0]] * 2
        (rows,) = await inference.embedder.embed(FRAMES[:1], [np.array([[0, 0, 9, 9]], np.float32)])
        assert rows.shape == (1, 4)


class Relay:
    """A port that passes bytes on to Triton, and can be cut."""

    def __init__(self, target: str) -> None:
        self._host, self._port = target.split(":")
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader, writer) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relay_to(target: str):
    relay = Relay(target)
    await relay.open()
    try:
        yield relay
    finally:
        relay.cut()
        await asyncio.sleep(0.05)


async def test_a_lost_server_is_waited_for(settings, triton):
    async with relay_to(triton) as relay, open_inference(settings(triton_url=relay.url), cameras=3) as inference:
        relay.cut()
        detecting = asyncio.create_task(detect(inference))
        await asyncio.sleep(0.5)
        await relay.open()
        assert [len(detections) for detections in await detecting] == [2, 2, 0]


async def test_a_server_that_stays_away_is_an_error(settings, triton):
    async with relay_to(triton) as relay:
        impatient = settings(triton_url=relay.url, triton_timeout_s=1.0)
        async with open_inference(impatient, cameras=3) as inference:
            relay.cut()
            with pytest.raises(InferenceError, match=f"Triton at {relay.url} was not ready within 1 s"):
                await detect(inference)


async def test_cancelling_leaves_no_shared_memory(settings, shm_prefix, triton):
    opened = asyncio.Event()

    async def work() -> None:
        async with open_inference(settings(triton_shared_memory="on"), cameras=3) as inference:
            opened.set()
            while True:
                await detect(inference)

    working = asyncio.create_task(work())
    await opened.wait()
    await asyncio.sleep(0.05)
    assert regions_of(shm_prefix)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert regions_of(shm_prefix) == []
    assert [name for name in await registered(triton) if name.startswith(shm_prefix)] == []


async def test_a_server_that_cannot_see_the_memory_gets_bytes(settings, shm_prefix, monkeypatch, caplog):
    async def hidden(self, *arguments, **options):
        return await register(self, arguments[0], "/not-there", *arguments[2:], **options)

    register = InferenceServerClient.register_system_shared_memory
    monkeypatch.setattr(InferenceServerClient, "register_system_shared_memory", hidden)
    caplog.set_level(logging.WARNING)
    async with open_inference(settings(triton_shared_memory="auto"), cameras=3) as inference:
        assert regions_of(shm_prefix) == []
        assert [len(detections) for detections in await detect(inference)] == [2, 2, 0]
    assert "pixels travel over the wire" in caplog.text
    with pytest.raises(InferenceError, match="sharing memory"):
        async with open_inference(settings(triton_shared_memory="on"), cameras=3):
            pass
