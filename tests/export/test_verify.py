"""Parity of what the real Triton serves: the committed Python-backend set, filled with the demo's models."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from demo.model_repository import DETECTOR as ARCHITECTURE
from demo.model_repository import DETECTOR_HW, DETECTOR_WEIGHTS, REID_WEIGHTS, WEIGHTS, prepare_models
from demo.model_repository import REID as REID_ARCHITECTURE
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from export.architectures import build_detector, build_embedder
from export.precision import Precision
from export.reid import CropEmbedder
from export.served import Server, ServerError
from export.serving import DETECTOR, REID, Target
from export.verify import TOLERANCES, Found, ParityError, Reference, _Twins, read_images, verify
from export.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "model_repository" / Target.CPU.value
BUILT = ROOT / ".spoton" / "tests" / "model_repository"
DATA = Path(os.environ.get("SPOTON_TEST_DATA", ROOT.parent / "shared" / "data"))
PHOTOS = DATA / "pennfudan" / "images"
PHOTOS_TAKEN = 12
FP32 = TOLERANCES[Precision.FP32]

real_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no Penn-Fudan photos in {PHOTOS}")


@pytest.fixture(scope="module")
def reference() -> Reference:
    height, width = DETECTOR_HW
    detector = build_detector(ARCHITECTURE, height=height, width=width)
    load_weights(detector, WEIGHTS / DETECTOR_WEIGHTS)
    network = build_embedder(REID_ARCHITECTURE)
    load_weights(network, WEIGHTS / REID_WEIGHTS)
    return Reference(detector.eval(), CropEmbedder(network))


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


@pytest.mark.servers
@pytest.mark.timeout(400)
@real_photos
@pytest.mark.asyncio(loop_scope="module")
async def test_the_committed_set_answers_as_eager_does_on_photos(address: str, reference: Reference) -> None:
    images = read_images(PHOTOS, PHOTOS_TAKEN)

    def check() -> None:
        with Server(address, share_memory=True) as server:
            assert server.describe(DETECTOR).model_id == "fasterrcnn_lite0_fpn-demo"
            parity = verify(server, reference, images, FP32)
        assert parity.misses(FP32) == [], parity
        assert parity.people >= 2 * 2 * PHOTOS_TAKEN, parity
        assert parity.crops >= PHOTOS_TAKEN, parity

    await asyncio.to_thread(check)


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
    twins = _Twins(FP32)
    one = found((0, 0.9), (50, 0.2))
    twins.compare(one, other)
    twins.compare(other, one)
    assert len(twins.parity(1, 1, 1.0).misses(FP32)) == sentences


def test_other_embeddings_are_a_miss() -> None:
    twins = _Twins(FP32)
    twins.compare(found((0, 0.9)), found((0, 0.9)))
    assert twins.parity(1, 1, 0.9998).misses(FP32) == ["cosine 0.999800 is below 0.9999"]


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"no \.jpg"):
        read_images(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ParityError, match=r"a\.jpg: not a picture"):
        read_images(tmp_path)


def test_a_server_that_is_not_there_is_named() -> None:
    with Server("127.0.0.1:1", timeout_s=1.0) as server, pytest.raises(ServerError, match=r"127\.0\.0\.1:1, model x"):
        server.describe("x")
