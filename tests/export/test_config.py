"""The YAML file of an export: what is refused, and where its paths lead."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from export.config import ConfigError, Overrides, load_config
from export.serving import DETECTOR, GPU_REID, REID, Target

GOOD: dict[str, Any] = {
    "target": "tensorrt",
    "repository": "/models",
    "work": "work",
    "detector": {"architecture": "net", "weights": "weights/d.pth", "height": 768, "width": 1344},
    "reid": {"weights": "r.pt", "serving": {"batches": [1, 32], "instances": 3}},
}


def written(folder: Path, content: object) -> Path:
    path = folder / "export.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_paths_start_from_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD))
    assert (config.repository, config.work) == (Path("/models"), tmp_path / "work")
    assert config.detector.weights == tmp_path / "weights" / "d.pth"


def test_torchvisions_names_are_no_paths(tmp_path: Path) -> None:
    path = written(tmp_path, {**GOOD, "detector": {**GOOD["detector"], "weights": "COCO_V1"}})
    assert load_config(path).detector.weights == "COCO_V1"
    (tmp_path / "COCO_V1").touch()
    assert load_config(path).detector.weights == tmp_path / "COCO_V1"


def test_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, GOOD)
    monkeypatch.chdir("/")
    config = load_config(path, Overrides(repository=Path("here"), triton="server:8001"))
    assert (config.repository, config.work, config.triton) == (Path("/here"), tmp_path / "work", "server:8001")


def test_what_is_not_given_is_the_default(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD))
    reid = config.serving(REID)
    assert (reid.batches, reid.max_batch_size, reid.instances) == ((1, 32), 32, 3)
    assert reid.queue_delay_us == GPU_REID.queue_delay_us
    assert config.serving(DETECTOR).batches == (1, 4, 8, 16)
    cpu = load_config(written(tmp_path, {**GOOD, "target": "cpu", "reid": {"weights": "r"}}))
    assert cpu.target is Target.CPU
    assert cpu.serving(REID).max_batch_size > cpu.serving(REID).batches[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target": "rockets"}, "target: Input should be 'tensorrt', 'onnxruntime_cuda' or 'cpu'"),
        ({"detector": {**GOOD["detector"], "height": 700}}, "detector.height: Input should be a multiple of 32"),
        ({"detector": {"weights": "d", "height": 64, "width": 64}}, "detector.architecture: Field required"),
        ({"detector": {**GOOD["detector"], "precision": "int4"}}, "detector.precision: Input should be"),
        (
            {"detector": {**GOOD["detector"], "precision": "int8"}},
            "detector: precision int8 and calibration (videos) go together",
        ),
        ({"reid": {"weights": "r", "precision": "int8"}}, "reid: precision int8 and calibration (videos) go together"),
        (
            {"reid": {"weights": "r", "precision": "int8", "calibration": {"videos": []}}},
            "reid.calibration.videos: Tuple should have at least 1 item",
        ),
        ({"reid": {"weights": "r", "bottleneck": 1}}, "reid.bottleneck: Extra inputs are not permitted"),
        (
            {"reid": {"weights": "r", "serving": {"batches": [4, 4]}}},
            "reid.serving.batches: batch sizes must be",
        ),
        ({"triton": "somewhere"}, "triton: must be HOST:PORT"),
        ({"verify": {"images": "x", "tolerance": {"iou": 2}}}, "verify.tolerance.iou: Input should be less than or"),
        ({"target": "x", "triton": "y"}, "target: Input should be"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    path = written(tmp_path, {**GOOD, **wrong})
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    said = str(raised.value)
    assert said.startswith(f"{path}: ")
    assert message in said
    assert "\n" not in said
    assert said.count(";") == len(wrong) - 1


@pytest.mark.parametrize(
    ("content", "message"), [("- a\n", "must hold fields"), ("a: [\n", "expected the node content")]
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_config(written(tmp_path, content))
    assert "\n" not in str(raised.value)
