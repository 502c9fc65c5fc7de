import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.precision import Precision
from export.repository import (
    Placed,
    RepositoryError,
    locked,
    place,
    precision_of,
    read_detector,
    read_model,
    read_reid,
    remove,
    versions,
    withdraw,
)
from export.rollout import write_repository
from export.serving import CPU_DETECTOR, REID, Serving, Target, reid_spec


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
DETECTOR_TENSORS = {
    "images": (TensorProto.UINT8, ["batch", 384, 672, 3]),
    "boxes": (TensorProto.FLOAT, ["batch", 64, 4]),
    "scores": (TensorProto.FLOAT, ["batch", 64]),
}
REID_TENSORS = {
    "crops": (TensorProto.UINT8, ["batch", 256, 128, 3]),
    "embeddings": (TensorProto.FLOAT, ["batch", 256]),
}


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    return {
        "detector": write_model(tmp_path / "d.onnx", DETECTOR_TENSORS, SOURCE),
        "reid": write_model(tmp_path / "r.onnx", REID_TENSORS, SOURCE),
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
    wrong = write_model(tmp_path / "w.onnx", REID_TENSORS, SOURCE)
    with pytest.raises(ValueError, match=r"w\.onnx: no tensor 'images'; it has crops, embeddings"):
        write_repository(Target.CPU, out, detector=wrong, reid=models["reid"])
    assert (out / "person_detector" / "config.pbtxt").read_text() == before


def test_what_is_no_onnx_file_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(models["reid"].read_bytes()[:-9])
    for read in (read_model, read_detector, read_reid):
        with pytest.raises(ValueError, match=r"cut\.onnx: not a readable ONNX file"):
            read(cut)


def test_a_model_of_unknown_origin_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    unknown = write_model(tmp_path / "u.onnx", REID_TENSORS, {})
    with pytest.raises(ValueError, match="no metadata 'architecture'"):
        write_repository(Target.CPU, tmp_path / "out", detector=models["detector"], reid=unknown)


@pytest.mark.parametrize(
    ("operator", "kind", "precision"),
    [
        ("Add", TensorProto.FLOAT, Precision.FP32),
        ("Add", TensorProto.FLOAT16, Precision.FP16),
        ("QuantizeLinear", TensorProto.FLOAT, Precision.INT8),
    ],
)
def test_the_precision_is_read_from_the_graph(operator: str, kind: int, precision: Precision) -> None:
    weights = helper.make_tensor("weights", kind, [1], [0.5])
    node = helper.make_node(operator, ["x", "weights"], ["y"])
    assert precision_of(helper.make_model(helper.make_graph([node], "g", [], [], [weights]))) is precision


def put(repository: Path, content: bytes) -> Placed:
    spec = reid_spec(f"net-{len(content)}", dimensions=4)
    with locked(repository):
        return place(repository, spec, {"model.onnx": content}, Target.ONNXRUNTIME_CUDA)


def model_id_served(repository: Path) -> str:
    return parse(repository / REID / "config.pbtxt").parameters["model_id"].string_value


def test_versions_follow_one_another_and_the_oldest_go(tmp_path: Path) -> None:
    assert [put(tmp_path, b"x" * size).version for size in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert versions(tmp_path / REID) == [2, 3, 4]
    assert model_id_served(tmp_path) == "net-4"
    assert put(tmp_path, b"x" * 4) == Placed(REID, 4, is_new=False)


def test_another_configuration_is_another_version(models: dict[str, Path], tmp_path: Path) -> None:
    write_repository(Target.CPU, tmp_path / "out", **models)
    serving = replace(CPU_DETECTOR, instances=7)
    detector, reid = write_repository(Target.CPU, tmp_path / "out", **models, detector_serving=serving)
    assert (detector.version, detector.is_new, reid.version, reid.is_new) == (2, True, 1, False)
    assert parse(tmp_path / "out" / "person_detector" / "config.pbtxt").instance_group[0].count == 7


def test_a_version_taken_back_gives_its_number_to_nobody(tmp_path: Path) -> None:
    put(tmp_path, b"1")
    put(tmp_path, b"22")
    assert withdraw(tmp_path, REID) == (2, 1)
    assert model_id_served(tmp_path) == "net-1"
    assert put(tmp_path, b"333").version == 3
    remove(tmp_path, REID)
    assert versions(tmp_path / REID) == [1]
    assert model_id_served(tmp_path) == "net-1"
    assert put(tmp_path, b"4444").version == 3


def test_versions_taken_back_do_not_fill_the_disk(tmp_path: Path) -> None:
    put(tmp_path, b"1")
    for size in range(2, 7):
        put(tmp_path, b"x" * size)
        withdraw(tmp_path, REID)
    put(tmp_path, b"7777777")
    assert sorted(entry.name for entry in (tmp_path / REID).iterdir()) == [".6.withdrawn", "1", "7", "config.pbtxt"]


def test_the_first_version_that_does_not_load_leaves_no_model(tmp_path: Path) -> None:
    put(tmp_path, b"1")
    remove(tmp_path, REID)
    assert not (tmp_path / REID).exists()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RepositoryError, match="another export is writing to it"), locked(tmp_path):
        pass


FULL_DISK = """
import sys
from pathlib import Path
from export.rollout import write_repository
from export.serving import DETECTOR, REID, Target
from tests.export.test_repository import (
    DETECTOR_TENSORS, REID_TENSORS, SOURCE, model_id_served, put, versions, write_model
)

repository = Path(sys.argv[1]) / "models"
put(repository, b"x" * 1000)
try:
    put(repository, b"y" * 3_000_000)
except OSError as error:
    print(error)
left = sorted(entry.name for entry in (repository / REID).iterdir())
print(left, model_id_served(repository), put(repository, b"z" * 2000).version)
try:
    put(repository.with_name("others"), b"y" * 3_000_000)
except OSError:
    print(list(repository.with_name("others").glob("p*")))
small, large = (Path(sys.argv[1]) / name for name in ("small.onnx", "large.onnx"))
write_model(small, DETECTOR_TENSORS, SOURCE)
write_model(large, REID_TENSORS, {**SOURCE, "filling": "x" * 1_200_000})
try:
    write_repository(Target.ONNXRUNTIME_CUDA, repository, detector=small, reid=large)
except OSError as error:
    print(Path(error.filename).relative_to(repository), (repository / DETECTOR).exists(), versions(repository / REID))
"""
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    command = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no user namespaces here, so no small disk to fill")
def test_a_full_disk_leaves_what_is_served(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    arguments = ["sh", "-c", mount, "sh", str(tmp_path), sys.executable, FULL_DISK]
    done = subprocess.run([*OWN_MOUNTS, *arguments], capture_output=True, text=True, timeout=100, check=True)
    said, left, others, second = done.stdout.splitlines()
    assert said == f"[Errno 28] No space left on device: '{tmp_path}/models/{REID}/.2.part/model.onnx'"
    assert left == "['1', 'config.pbtxt'] net-1000 2"
    assert others == "[]"
    assert second == f"{REID}/.3.part/model.onnx False [1, 2]"


KILLED = """
import sys
from pathlib import Path
from export.repository import locked, place
from export.serving import Target, reid_spec

repository, pipe = map(Path, sys.argv[1:])
with locked(repository):
    place(repository, reid_spec("killed", dimensions=4), {"model.onnx": pipe}, Target.ONNXRUNTIME_CUDA)
"""


def test_an_export_that_is_killed_leaves_what_is_served_and_the_next_one_clears_up(tmp_path: Path) -> None:
    repository, pipe = tmp_path / "models", tmp_path / "pipe"
    put(repository, b"1")
    os.mkfifo(pipe)
    export = subprocess.Popen([sys.executable, "-c", KILLED, str(repository), str(pipe)])
    with pipe.open("wb") as slow:  # opens once the export reads
        slow.write(b"half")
        slow.flush()
        while not (repository / REID / ".2.part" / "model.onnx").exists():
            time.sleep(0.01)
        export.send_signal(signal.SIGKILL)
        export.wait(10)
    assert versions(repository / REID) == [1]
    assert model_id_served(repository) == "net-1"
    assert put(repository, b"22").version == 2
    assert not list((repository / REID).glob(".*"))


KILLED_ANYWHERE = """
import os, shutil, sys
from itertools import count
from pathlib import Path
from export.repository import locked, place, remove, withdraw
from export.serving import REID, Target
from tests.export.test_repository import parse, put

folder = Path(sys.argv[1])
ways = {
    "place": lambda repository: put(repository, b"333"),
    "withdraw": lambda repository: withdraw(repository, REID),
    "remove": lambda repository: remove(repository, REID),
}
CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")

def die_at(last):
    left = count(last, -1)
    def watch(event, arguments):
        if event in CHANGES and next(left) == 0:
            os._exit(9)
    sys.addaudithook(watch)

for name, way in ways.items():
    for step in count():
        repository = folder / f"{name}{step}"
        put(repository, b"1")
        put(repository, b"22")
        child = os.fork()
        if not child:
            die_at(step)
            way(repository)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        config = parse(repository / REID / "config.pbtxt")
        (version,) = config.version_policy.specific.versions
        served = (repository / REID / str(version) / "model.onnx").read_bytes()
        assert config.parameters["model_id"].string_value == f"net-{len(served)}", (name, step, version)
        assert put(repository, b"4444").is_new
        if not killed:
            break
    print(name, step)
"""


def test_killed_at_any_step_a_version_and_its_own_configuration_are_served(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_ANYWHERE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    steps = {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}
    assert steps.keys() == {"place", "withdraw", "remove"}
    assert steps["place"] > 8
