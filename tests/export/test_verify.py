"""Parity of what the real Triton serves: the committed Python-backend set, filled with the demo's models."""

import asyncio
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import yaml
from safetensors.torch import load_file, save_file

from demo.model_repository import CONFIG as DEMO_CONFIG
from demo.model_repository import prepare_models
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from export.config import ToleranceConfig, load_config
from export.precision import Precision
from export.reference import Found, Reference, load_reference
from export.served import ServedModel, Server, ServerError
from export.serving import DETECTOR, REID, Target
from export.verify import (
    TOLERANCES,
    ParityError,
    Served,
    Tolerance,
    Twins,
    describe,
    read_images,
    tolerance_for,
    verify,
    verify_served,
)

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "model_repository" / Target.CPU.value
BUILT = ROOT / ".spoton" / "tests" / "model_repository"
DATA = Path(os.environ.get("SPOTON_TEST_DATA", ROOT.parent / "shared" / "data"))
PHOTOS = DATA / "pennfudan" / "images"
PHOTOS_TAKEN = 12
FP32 = TOLERANCES[Precision.FP32]

real_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no Penn-Fudan photos in {PHOTOS}")


CONFIG = yaml.safe_load(DEMO_CONFIG.read_text())
for section in (CONFIG["detector"], CONFIG["reid"]):
    section["weights"] = str(DEMO_CONFIG.parent / section["weights"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The real server on the committed configurations, with the demo's models in their version folders."""
    await prepare_models(BUILT)
    folder = tmp_path_factory.mktemp("served")
    repository = folder / "models"
    shutil.copytree(COMMITTED, repository)
    for name in (DETECTOR, REID):
        newest = max(int(entry.name) for entry in (BUILT / name).iterdir() if entry.name.isdecimal())
        shutil.copytree(BUILT / name / str(newest), repository / name / "1")
    state = StateDirectory(folder / "state")
    async with Supervisor(state) as supervisor:
        triton = Triton(state, repository)
        await supervisor.start([triton])
        yield triton.address


def run(config: Path, address: str) -> subprocess.CompletedProcess[str]:
    arguments = ["verify", str(config), "--triton", address, "--images", str(PHOTOS), "--limit", str(PHOTOS_TAKEN)]
    command = [sys.executable, "-m", "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)


@pytest.mark.servers
@pytest.mark.timeout(400)
@real_photos
@pytest.mark.asyncio(loop_scope="module")
async def test_the_committed_set_answers_as_eager_does_on_photos(address: str, tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    path.write_text(yaml.safe_dump(CONFIG))

    def check() -> None:
        config = load_config(path)
        with Server(address, share_memory=True) as server:
            served = describe(server)
            assert served.detector.model_id == "fasterrcnn_csp_pan-demo"
            parity = verify(server, served, load_reference(config), read_images(PHOTOS, PHOTOS_TAKEN), FP32)
        assert parity.misses(FP32) == [], parity
        assert parity.people >= 2 * 2 * PHOTOS_TAKEN, parity
        assert parity.crops >= PHOTOS_TAKEN, parity

    await asyncio.to_thread(check)


@pytest.mark.servers
@pytest.mark.timeout(400)
@real_photos
@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_shows_the_differences_and_fails_on_a_miss(address: str, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text(yaml.safe_dump(CONFIG))
    passed = await asyncio.to_thread(run, right, address)
    assert passed.returncode == 0, passed.stderr
    assert "person_reid version 1: lite0_bands-demo, fp32" in passed.stdout
    assert "detections without a twin" in passed.stdout

    others = tmp_path / "others.safetensors"
    tensors = load_file(CONFIG["reid"]["weights"])
    changed = {name: tensor + 0.01 * tensor.std() for name, tensor in tensors.items() if tensor.ndim > 1}
    save_file({**tensors, **changed}, others)
    reid = {**CONFIG["reid"], "weights": str(others)}
    wrong.write_text(yaml.safe_dump({**CONFIG, "reid": reid}))
    missed = await asyncio.to_thread(run, wrong, address)
    assert missed.returncode == 1
    assert "lowest cosine of embeddings" in missed.stdout
    said = r"export: cosine -?0\.\d+ is below 0\.9999; .*person_reid version 1 is .*-demo, the configuration's .*\n"
    assert re.fullmatch(said, missed.stderr)


def found(*rows: tuple[float, float]) -> Found:
    """People at the given left edge, 10 x 20 pixels, with the given scores."""
    boxes = np.array([[left, 0, left + 10, 20] for left, _ in rows], np.float32).reshape(-1, 4)
    return Found(boxes, np.array([score for _, score in rows], np.float32))


@pytest.mark.parametrize(
    ("other", "sentences"),
    [
        (found((0, 0.9), (50, 0.2)), 0),
        (found((0, 0.9), (50, 0.202)), 1),
        (found((0, 0.9), (52, 0.2)), 1),
        (found((0, 0.9)), 1),
        (found((3, 0.9), (50, 0.2)), 2),
        (found((50, 0.2)), 2),
        (found((0, 0.9), (50, 0.2), (80, 0.04)), 0),
    ],
)
def test_a_detection_without_a_twin_is_a_miss(other: Found, sentences: int) -> None:
    twins = Twins(FP32)
    one = found((0, 0.9), (50, 0.2))
    twins.compare(one, other)
    twins.compare(other, one)
    assert len(twins.parity(1, 1, 1.0).misses(FP32)) == sentences


def test_other_embeddings_are_a_miss() -> None:
    twins = Twins(FP32)
    twins.compare(found((0, 0.9)), found((0, 0.9)))
    assert twins.parity(1, 1, 0.9998).misses(FP32) == ["cosine 0.999800 is below 0.9999"]


def served(detector: Precision, embedder: Precision) -> Served:
    return Served(
        ServedModel(DETECTOR, "1", "d", "images", (32, 32, 3), {}, (1,), detector),
        ServedModel(REID, "1", "r", "crops", (256, 128, 3), {}, (1,), embedder),
    )


class Says(Server):
    """A server that says what it is told to."""

    def __init__(self, *models: ServedModel) -> None:
        self.models = {model.name: model for model in models}

    def describe(self, name: str) -> ServedModel:
        return self.models[name]


PEOPLE = {"boxes": (9, 4), "scores": (9,)}
DETECTS = ServedModel(DETECTOR, "3", "d", "images", (32, 64, 3), PEOPLE, (1,))
EMBEDS = ServedModel(REID, "3", "r", "crops", (256, 128, 3), {"embeddings": (4,)}, (1,))


@pytest.mark.parametrize(
    "wrong",
    [
        dataclasses.replace(DETECTS, input_shape=(3, 32, 64)),
        dataclasses.replace(DETECTS, outputs={"boxes": (-1, 4), "scores": (-1,)}),
        dataclasses.replace(DETECTS, outputs={"output0": (84, 8400)}),
        dataclasses.replace(EMBEDS, input_name="images"),
        dataclasses.replace(EMBEDS, input_shape=(256, 192, 3)),
        dataclasses.replace(EMBEDS, outputs={"embeddings": (-1,)}),
    ],
)
def test_a_model_that_misses_the_contract_is_named(wrong: ServedModel) -> None:
    assert describe(Says(DETECTS, EMBEDS)) == Served(DETECTS, EMBEDS)
    with pytest.raises(ParityError, match=rf"^{wrong.name} version 3, .* to .*: no \w+ of the tensor contract"):
        describe(Says(*(wrong if model.name == wrong.name else model for model in (DETECTS, EMBEDS))))


def test_a_server_of_other_weights_says_so() -> None:
    reference = Reference(None, None, ("d", "another"))
    assert Served(DETECTS, EMBEDS).others(reference) == [
        "person_reid version 3 is r, the configuration's weights are another"
    ]


def test_each_model_is_held_to_its_own_precision() -> None:
    fp16 = TOLERANCES[Precision.FP16]
    mixed = tolerance_for(served(Precision.FP16, Precision.FP32), ToleranceConfig())
    assert (mixed.iou, mixed.cosine) == (fp16.iou, FP32.cosine)
    assert tolerance_for(served(Precision.FP32, Precision.FP32), ToleranceConfig(cosine=0.5)).cosine == 0.5
    with pytest.raises(
        ParityError, match=r"person_detector computes in int8: give verify\.tolerance iou, score, share"
    ):
        tolerance_for(served(Precision.INT8, Precision.FP32), ToleranceConfig(iou=0.5))
    given = ToleranceConfig(iou=0.5, score=0.1, share=0.9)
    assert tolerance_for(served(Precision.INT8, Precision.FP32), given) == Tolerance(0.5, 0.1, 0.9, FP32.cosine)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detector": {**CONFIG["detector"], "height": 416}}, r"takes \(384, 672\) pixels, the configuration says"),
        ({"verify": {"images": "nowhere"}}, r"nowhere: no \.jpg"),
    ],
)
@pytest.mark.servers
@pytest.mark.timeout(400)
@real_photos
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_compared_is_named(
    address: str, tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    path = tmp_path / "export.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "verify": {"images": str(PHOTOS)}, **wrong}))
    config = load_config(path)
    assert config.verify is not None

    def check() -> None:
        with Server(address) as server, pytest.raises(ParityError, match=message):
            verify_served(config, server, config.verify, print)

    await asyncio.to_thread(check)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"no \.jpg"):
        read_images(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ParityError, match=r"a\.jpg: not a picture"):
        read_images(tmp_path)


def test_a_server_that_is_not_there_is_named() -> None:
    with Server("127.0.0.1:1", timeout_s=1.0) as server, pytest.raises(ServerError, match=r"127\.0\.0\.1:1, model x"):
        server.describe("x")
