"""``python -m export all``: what it makes and leaves; in a real server a version that misses never goes live."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio
import yaml

from demo.model_repository import CONFIG, prepare_models
from demo.servers.state import StateDirectory
from demo.servers.supervisor import Supervisor
from demo.servers.triton import Triton
from export import calibration, onnx_models, production, quantise_detector, verify
from export import quantise as export_quantise
from export.config import ExportConfig, load_config
from export.production import export_all
from export.records import is_current, write_record
from export.repository import RepositoryError, locked, versions
from export.served import Server, ServerError
from export.serving import DETECTOR, REID
from export.verify import ParityError
from tests.export.test_repository import DETECTOR_TENSORS, REID_TENSORS, SOURCE, write_model
from tests.export.test_verify import BUILT, PHOTOS, real_photos


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files made, in their order; PyTorch is left out."""
    names: list[str] = []

    def make_detector(architecture: str, weights: Path | str, out: Path, **options: object) -> None:
        names.append(out.name)
        written = weights.read_text() if isinstance(weights, Path) else weights
        write_model(out, DETECTOR_TENSORS, {**SOURCE, "weights": written, "options": str(options)})

    def make_reid(architecture: str, weights: Path, out: Path, *_: object) -> None:
        names.append(out.name)
        write_model(out, REID_TENSORS, {**SOURCE, "weights": weights.read_text()})

    monkeypatch.setattr(onnx_models, "export_detector_file", make_detector)
    monkeypatch.setattr(onnx_models, "export_reid_file", make_reid)
    return names


def configured(folder: Path, **changes: Any) -> ExportConfig:
    content = {
        "target": "onnxruntime_cuda",
        "repository": "models",
        "work": "work",
        "detector": {"architecture": "net", "weights": "d.pt", "height": 384, "width": 672},
        "reid": {"weights": "r.pt"},
        **changes,
    }
    path = folder / "export.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_config(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("d.pt", "r.pt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_what_is_current_stays(folder: Path, made: list[str]) -> None:
    said: list[str] = []
    export_all(configured(folder), said.append)
    assert made == ["person_detector.onnx", "person_reid.onnx"]
    assert versions(folder / "models" / DETECTOR) == versions(folder / "models" / REID) == [1]
    made.clear()
    said.clear()
    export_all(configured(folder), said.append)
    assert made == []
    assert said == [
        "person_detector.onnx: up to date",
        "person_reid.onnx: up to date",
        "person_detector: version 1, as before",
        "person_reid: version 1, as before",
    ]


@pytest.mark.parametrize("change", ["weights", "options", "cut", "lost"])
def test_only_what_changed_is_made_again(folder: Path, made: list[str], change: str) -> None:
    export_all(configured(folder), print)
    made.clear()
    changes: dict[str, Any] = {}
    onnx = folder / "work" / "person_reid.onnx"
    if change == "weights":
        (folder / "r.pt").write_text("others")
    elif change == "options":
        changes = {"reid": {"weights": "r.pt", "neck": "before"}}
    elif change == "cut":
        onnx.write_bytes(onnx.read_bytes()[:-1])
    else:
        onnx.unlink()
    export_all(configured(folder, **changes), print)
    assert made == ["person_reid.onnx"]
    assert versions(folder / "models" / REID) == ([1, 2] if change == "weights" else [1])


@pytest.mark.parametrize("change", [{"precision": "fp16"}, {"weights": "COCO_V1"}, {"height": 416}])
def test_a_detector_of_other_precision_weights_or_size_is_made_again(
    folder: Path, made: list[str], change: dict[str, Any]
) -> None:
    wanted = {"architecture": "net", "weights": "d.pt", "height": 384, "width": 672}
    export_all(configured(folder), print)
    export_all(configured(folder, detector=wanted | change), print)
    export_all(configured(folder, detector=wanted | change), print)
    assert made == ["person_detector.onnx", "person_reid.onnx", "person_detector.onnx"]


def test_int8_is_made_from_the_video_and_again_for_another(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[list[str], str, int]] = []

    def crops_from_videos(videos: Sequence[Path], detector: Path, count: int) -> str:
        found.append(([video.name for video in videos], detector.name, count))
        return "crops"

    def quantise(single: Path, crops: str, out: Path) -> str:
        assert crops == "crops"
        shutil.copy(single, out)
        return "what it costs"

    monkeypatch.setattr(calibration, "crops_from_videos", crops_from_videos)
    monkeypatch.setattr(export_quantise, "quantise", quantise)
    wanted = {"weights": "r.pt", "precision": "int8", "calibration": {"videos": ["v.mp4"], "crops": 40}}
    (folder / "v.mp4").write_text("monday")
    said: list[str] = []
    export_all(configured(folder, reid=wanted), said.append)
    export_all(configured(folder, reid=wanted), said.append)
    assert found == [(["v.mp4"], "person_detector.onnx", 40)]
    assert "person_reid.onnx: what it costs" in said
    assert sorted(path.name for path in (folder / "work").iterdir() if path.suffix == ".onnx") == [
        "person_detector.onnx",
        "person_reid.onnx",
    ]
    assert not list((folder / "work").glob(".*.part"))
    (folder / "v.mp4").write_text("tuesday")
    export_all(configured(folder, reid=wanted), print)
    assert len(found) == 2


def test_an_int8_detector_is_made_from_the_video_and_again_for_another(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[list[str], int]] = []

    def quantise(single: Path, videos: Sequence[Path], frames: int, out: Path) -> str:
        found.append(([video.name for video in videos], frames))
        shutil.copy(single, out)
        return "what it costs"

    monkeypatch.setattr(quantise_detector, "quantise_detector", quantise)
    calibration = {"videos": ["v.mp4"], "frames": 16}
    wanted = {"architecture": "net", "weights": "d.pt", "height": 384, "width": 672}
    wanted = {**wanted, "precision": "int8", "calibration": calibration}
    said: list[str] = []
    for day in ("monday", "monday", "tuesday"):
        (folder / "v.mp4").write_text(day)
        export_all(configured(folder, detector=wanted), said.append)
    assert found == [(["v.mp4"], 16)] * 2
    assert said.count("person_detector.onnx: what it costs") == 2
    assert said.count("person_detector.onnx: up to date") == 1
    assert not list((folder / "work").glob(".*.part"))


def test_other_serving_is_another_version_of_the_same_file(folder: Path, made: list[str]) -> None:
    export_all(configured(folder), print)
    made.clear()
    export_all(configured(folder, reid={"weights": "r.pt", "serving": {"instances": 3}}), print)
    assert made == []
    assert versions(folder / "models" / REID) == [1, 2]
    assert versions(folder / "models" / DETECTOR) == [1]


def test_an_export_that_fails_leaves_what_is_served(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    export_all(configured(folder), print)
    (folder / "r.pt").write_text("others")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "work/person_reid.onnx")

    monkeypatch.setattr(onnx_models, "export_reid_file", fail)
    with pytest.raises(OSError, match=r"No space left on device: .work/person_reid\.onnx."):
        export_all(configured(folder), print)
    assert versions(folder / "models" / REID) == [1]
    (folder / "d.pt").unlink()
    with pytest.raises(OSError, match=r"No such file or directory: .*d\.pt"):
        export_all(configured(folder), print)


class FallsOver(Server):
    """A server that loads what it is told to, on trial too."""

    done: ClassVar[list[str]] = []

    def __init__(self, address: str) -> None:
        self.address = address

    def __exit__(self, *_: object) -> None:
        pass

    def load(self, name: str, version: int) -> None:
        self.done.append(f"{name} {version}")

    def load_files(self, name: str, version: int, config: str, files: Mapping[str, bytes]) -> None:
        self.done.append(f"{name} {len(files)} files")

    def unload(self, name: str) -> None:
        self.done.append(f"no {name}")


def test_what_loads_and_cannot_answer_is_not_placed(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*given: Any) -> None:
        FallsOver.done.append(f"asked {dict(given[-1])}")
        if len(given[-1]) == 1:
            raise ServerError("out of memory")

    monkeypatch.setattr(production, "Server", FallsOver)
    monkeypatch.setattr(verify, "verify_served", ask)
    changes = {"triton": "nowhere:1", "verify": {"images": "photos"}}
    export_all(configured(folder, **changes), print)
    FallsOver.done.clear()
    (folder / "r.pt").write_text("others")
    with pytest.raises(ServerError, match=r"^out of memory$"):
        export_all(configured(folder, **changes), print)
    assert versions(folder / "models" / REID) == versions(folder / "models" / DETECTOR) == [1]
    trial = f"{REID}.trial"
    assert FallsOver.done == [
        f"{trial} 1 files",
        f"asked {{'{REID}': '{trial}'}}",
        f"no {DETECTOR}.trial",
        f"no {trial}",
    ]


def test_one_export_at_a_time(folder: Path, made: list[str]) -> None:
    with locked(folder / "work"), pytest.raises(RepositoryError, match="work: another export is writing to it"):
        export_all(configured(folder), print)


def test_a_record_is_of_one_file_and_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not is_current(path, {"a": 1})
    path.write_bytes(b"content")
    assert not is_current(path, {"a": 1})
    write_record(path, {"a": 1})
    assert is_current(path, {"a": 1})
    assert not is_current(path, {"a": 2})
    (tmp_path / "file.json").write_text("[1")
    assert not is_current(path, {"a": 1})


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path) -> AsyncIterator[str]:
    """The demo's models on the real server, and what they were made from beside them."""
    await prepare_models(BUILT)
    shutil.copytree(BUILT, tmp_path / "models")
    shutil.copytree(BUILT.with_name(f"{BUILT.name}.work"), tmp_path / "work")
    state = StateDirectory(tmp_path / "state")
    async with Supervisor(state) as supervisor:
        triton = Triton(state, tmp_path / "models")
        await supervisor.start([triton])
        yield triton.address


@pytest.mark.servers
@pytest.mark.timeout(400)
@real_photos
@pytest.mark.asyncio(loop_scope="module")
async def test_a_version_that_misses_parity_never_goes_live(served: str, tmp_path: Path) -> None:
    content = yaml.safe_load(CONFIG.read_text())
    for model in ("detector", "reid"):
        content[model]["weights"] = str(CONFIG.parent / content[model]["weights"])
    content |= {"repository": "models", "work": "work", "triton": served}
    path = tmp_path / "export.yaml"

    def run(tolerance: dict[str, float], reid_serving: dict[str, int]) -> list[str]:
        verify = {"images": str(PHOTOS), "limit": 4, "tolerance": tolerance}
        changed = {**content, "reid": {**content["reid"], "serving": reid_serving}, "verify": verify}
        path.write_text(yaml.safe_dump(changed))
        said: list[str] = []
        export_all(load_config(path), said.append)
        return said

    def check() -> None:
        (first,) = versions(tmp_path / "models" / REID)[-1:]
        assert f"{REID}: version {first}, as before" in run({}, {})
        assert f"{REID}: version {first + 1}" in run({}, {"rows_per_run": 2})
        with pytest.raises(ParityError, match=r"have no twin"):
            run({"score": 0.0}, {"rows_per_run": 3})
        assert versions(tmp_path / "models" / REID)[-1] == first + 1
        with Server(served) as server:
            assert server.describe(REID).version == str(first + 1)
            assert server.describe(REID).batches == (1, 4)

    await asyncio.to_thread(check)
