from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.repository import write_repository
from export.serving import CPU_DETECTOR, Serving, Target


def write_model(path: Path, tensors: dict[str, tuple[int, list[int | str]]], source: dict[str, str]) -> Path:
    """An ONNX file with an input and outputs of the given types and shapes; it is never run."""
    (first, (kind, shape)), *others = tensors.items()
    inputs = [helper.make_tensor_value_info(first, kind, shape)]
    outputs = [helper.make_tensor_value_info(name, *spec) for name, spec in others]
    nodes = [helper.make_node("Anything", [first], [name], domain="test") for name, _ in others]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs))
    helper.set_model_props(model, source)
    onnx.save(model, path)
    return path


SOURCE = {"architecture": "net", "weights_digest": "abcdef0123456789"}
DETECTOR = {
    "images": (TensorProto.UINT8, ["batch", 384, 672, 3]),
    "boxes": (TensorProto.FLOAT, ["batch", 64, 4]),
    "scores": (TensorProto.FLOAT, ["batch", 64]),
}
REID = {
    "crops": (TensorProto.UINT8, ["batch", 256, 128, 3]),
    "embeddings": (TensorProto.FLOAT, ["batch", 256]),
}


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    return {
        "detector": write_model(tmp_path / "d.onnx", DETECTOR, SOURCE),
        "reid": write_model(tmp_path / "r.onnx", REID, SOURCE),
    }


def parse(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


def test_cpu_repository(models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "repository"
    write_repository(Target.CPU, out, **models)
    write_repository(Target.CPU, out, **models)
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == [
        ".lock",
        "person_detector/1/config.pbtxt",
        "person_detector/1/model.onnx",
        "person_detector/1/model.py",
        "person_detector/config.pbtxt",
        "person_reid/1/config.pbtxt",
        "person_reid/1/model.onnx",
        "person_reid/1/model.py",
        "person_reid/config.pbtxt",
    ]
    config = parse(out / "person_detector" / "config.pbtxt")
    assert config.backend == "python"
    assert config.max_batch_size == CPU_DETECTOR.max_batch_size
    assert config.parameters["model_id"].string_value == "net-abcdef012345"
    assert config.input[0].dims == [384, 672, 3]
    queue = config.dynamic_batching.default_queue_policy
    assert queue.max_queue_size > 0
    assert queue.default_timeout_microseconds > 0
    assert [entry.batch_size for entry in config.model_warmup] == list(CPU_DETECTOR.batches)


def test_instances_and_rows_are_chosen_by_the_caller(models: dict[str, Path], tmp_path: Path) -> None:
    serving = Serving(
        (2,), instances=3, queue_delay_us=7, timeout_s=1, max_queue_size=5, max_batch_size=4, rows_per_run=2
    )
    write_repository(Target.CPU, tmp_path / "out", **models, detector_serving=serving)
    config = parse(tmp_path / "out" / "person_detector" / "config.pbtxt")
    assert config.instance_group[0].count == 3
    assert config.parameters["rows_per_run"].string_value == "2"
    assert config.dynamic_batching.max_queue_delay_microseconds == 7


def test_a_model_that_does_not_fit_is_refused_and_leaves_what_is_served(
    models: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "repository"
    write_repository(Target.CPU, out, **models)
    before = (out / "person_detector" / "config.pbtxt").read_text()
    wrong = write_model(tmp_path / "w.onnx", REID, SOURCE)
    with pytest.raises(ValueError, match=r"w\.onnx: no tensor 'images'; it has crops, embeddings"):
        write_repository(Target.CPU, out, detector=wrong, reid=models["reid"])
    assert (out / "person_detector" / "config.pbtxt").read_text() == before


def test_a_model_of_unknown_origin_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    unknown = write_model(tmp_path / "u.onnx", REID, {})
    with pytest.raises(ValueError, match="no metadata 'architecture'"):
        write_repository(Target.CPU, tmp_path / "out", detector=models["detector"], reid=unknown)
