"""Plans: the command line, the calls to TensorRT, the records, and what is refused.

``nvidia-smi``, ``trtexec`` and TensorRT itself are stand-ins: no plan is built here.
"""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from export import production
from export.__main__ import main
from export.plans import Machine, PlanError, PlanJob, check_repository, make_plan, plan_content, plan_job, this_machine
from export.production import export_all
from export.repository import RepositoryError, versions
from export.rollout import write_repository
from export.serving import DETECTOR, REID, Target
from export.tensorrt_package import PackageBuilder, open_package
from export.trtexec import TrtexecBuilder, trtexec_command
from tests.export.test_production import configured, folder, made  # noqa: F401
from tests.export.test_repository import DETECTOR_TENSORS, REID_TENSORS, SOURCE, parse, write_model

H100 = Machine("NVIDIA H100 80GB HBM3", "9.0", "11.2.1")
TRTEXEC = """
    #!{python}
    import os, pathlib, sys
    print("&&&& RUNNING TensorRT.trtexec [TensorRT v{version}] [b2] # trtexec")
    if "--help" in sys.argv:
        sys.exit()
    options = [argument[2:].partition("=")[::2] for argument in sys.argv[1:]]
    named = dict(options)
    if pathlib.Path(named["onnx"]).stat().st_size < 60:
        print("[11/25/2026-12:00:00] [E] [TRT] ModelImporter.cpp: no node", file=sys.stderr)
        sys.exit(1)
    pathlib.Path(named["saveEngine"]).write_text(str(options))
    with open(named["timingCacheFile"], "a") as cache:
        cache.write("timed ")
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins on PATH."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    stand_in(path, H100)
    return path


def stand_in(path: Path, machine: Machine, cards: int = 1) -> None:
    version = "".join(f"{int(part):02}" for part in machine.tensorrt.split("."))
    program = textwrap.dedent(TRTEXEC).lstrip().format(python=sys.executable, version=version)
    query = f"#!{sys.executable}\n" + f"print({f'{machine.gpu}, {machine.compute_capability}'!r})\n" * cards
    for name, content in (("trtexec", program), ("nvidia-smi", query)):
        (path / name).write_text(content)
        (path / name).chmod(0o755)


@pytest.fixture
def reid_onnx_file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "person_reid.onnx", REID_TENSORS, SOURCE)


def test_the_command_line(tmp_path: Path) -> None:
    onnx = write_model(tmp_path / "d.onnx", DETECTOR_TENSORS, SOURCE)
    command = trtexec_command(plan_job(onnx, (1, 4), workspace_mib=2048), Path("d.plan"), Path("timing.cache"))
    assert command == [
        "trtexec",
        f"--onnx={onnx}",
        "--saveEngine=d.plan",
        "--timingCacheFile=timing.cache",
        "--memPoolSize=workspace:2048M",
        "--skipInference",
        "--profile=0",
        "--minShapes=images:1x384x672x3",
        "--optShapes=images:1x384x672x3",
        "--maxShapes=images:1x384x672x3",
        "--profile=1",
        "--minShapes=images:2x384x672x3",
        "--optShapes=images:4x384x672x3",
        "--maxShapes=images:4x384x672x3",
    ]


def test_the_command_is_shown_for_a_shell(
    reid_onnx_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["trtexec", "--onnx", str(reid_onnx_file), "--out", "/a b/reid.plan", "--print"]
    monkeypatch.setattr("sys.argv", ["export", *arguments])
    main()
    said = shlex.split(capsys.readouterr().out)
    assert "--saveEngine=/a b/reid.plan" in said
    assert said[-1] == "--maxShapes=crops:128x256x128x3"


def test_machine(programs: Path) -> None:
    assert this_machine(TrtexecBuilder()) == H100
    stand_in(programs, H100, cards=2)
    assert this_machine(TrtexecBuilder()) == H100


def test_no_gpu_and_unlike_gpus_are_refused(programs: Path) -> None:
    stand_in(programs, H100, cards=0)
    with pytest.raises(PlanError, match="nvidia-smi shows none"):
        this_machine(TrtexecBuilder())
    (programs / "nvidia-smi").write_text(f"#!{sys.executable}\nprint('A, 8.0')\nprint('B, 9.0')\n")
    with pytest.raises(PlanError, match=r"one kind of GPU, nvidia-smi shows A, 8\.0; B, 9\.0"):
        this_machine(TrtexecBuilder())
    (programs / "nvidia-smi").unlink()
    with pytest.raises(PlanError, match="no NVIDIA GPU here"):
        this_machine(TrtexecBuilder())


def test_a_plan_is_built_once_and_anew_for_another_machine(
    programs: Path, reid_onnx_file: Path, tmp_path: Path
) -> None:
    plan, job, said = tmp_path / "person_reid.plan", plan_job(reid_onnx_file, (1, 16)), []

    def make() -> str:
        said.clear()
        make_plan(job, TrtexecBuilder(), plan, said.append)
        return said[0]

    assert make() == "person_reid.plan: fp32, 2 profiles, for NVIDIA H100 80GB HBM3 (compute capability 9.0) " + (
        "with TensorRT 11.2.1"
    )
    assert make() == "person_reid.plan: up to date"
    record = json.loads((tmp_path / "person_reid.plan.json").read_text())["made_from"]
    assert record["machine"] == {"gpu": H100.gpu, "compute_capability": "9.0", "tensorrt": "11.2.1"}
    assert record["precision"] == "fp32"
    assert record["profiles"] == [[1, 1], [2, 16]]
    stand_in(programs, Machine(H100.gpu, "9.0", "11.3.0"))
    assert "TensorRT 11.3.0" in make()
    assert (tmp_path / "timing.cache").read_text() == "timed timed "


def test_a_build_that_fails_is_told_and_leaves_the_plan_before(
    programs: Path, reid_onnx_file: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "person_reid.plan"
    job = plan_job(reid_onnx_file, (1,))
    make_plan(job, TrtexecBuilder(), plan, print)
    before = plan.read_text()
    reid_onnx_file.write_bytes(b"no graph")
    with pytest.raises(PlanError, match=r"trtexec: .*person_reid\.onnx: .*\[E\] \[TRT\] ModelImporter\.cpp: no node$"):
        make_plan(job, TrtexecBuilder(), plan, print)
    assert plan.read_text() == before
    assert not list(tmp_path.glob(".*.part"))
    (programs / "trtexec").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    with pytest.raises(PlanError, match="took more than 0 s"):
        TrtexecBuilder(timeout_s=0.2).build(job, plan, tmp_path / "cache")


def test_a_plan_of_another_machine_or_model_is_refused(programs: Path, reid_onnx_file: Path, tmp_path: Path) -> None:
    plan = tmp_path / "person_reid.plan"
    make_plan(plan_job(reid_onnx_file, (1,)), TrtexecBuilder(), plan, print)
    assert set(plan_content(plan, reid_onnx_file, H100)) == {"model.plan", "model.plan.json"}
    a100 = Machine("NVIDIA A100-SXM4-40GB", "8.0", "11.2.1")
    with pytest.raises(PlanError, match=r"was built for NVIDIA H100 .* 11\.2\.1, this is NVIDIA A100.*anew here"):
        plan_content(plan, reid_onnx_file, a100)
    with pytest.raises(PlanError, match=r"TensorRT 11\.2\.1, this is .* TensorRT 11\.3\.0"):
        plan_content(plan, reid_onnx_file, Machine(H100.gpu, "9.0", "11.3.0"))
    other = write_model(tmp_path / "o.onnx", REID_TENSORS, {**SOURCE, "weights_digest": "0" * 16})
    with pytest.raises(PlanError, match=r"was not built from .*o\.onnx"):
        plan_content(plan, other, H100)
    plan.write_text("cut")
    with pytest.raises(PlanError, match="cut short, or replaced"):
        plan_content(plan, reid_onnx_file, H100)
    (tmp_path / "person_reid.plan.json").unlink()
    with pytest.raises(PlanError, match="no record of the machine"):
        plan_content(plan, reid_onnx_file, H100)


def test_all_places_plans_and_check_refuses_them_elsewhere(
    folder: Path,  # noqa: F811
    made: list[str],  # noqa: F811
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = configured(folder, target="tensorrt")
    export_all(config, print)
    repository = config.repository
    assert sorted(path.name for path in (repository / DETECTOR / "1").iterdir()) == [
        "config.pbtxt",
        "model.plan",
        "model.plan.json",
    ]
    served = parse(repository / DETECTOR / "config.pbtxt")
    assert served.platform == "tensorrt_plan"
    plan = (repository / DETECTOR / "1" / "model.plan").read_text()
    assert plan.count("maxShapes") == len(served.instance_group[0].profile) == 4
    said: list[str] = []
    export_all(config, said.append)
    assert [line.split(": ")[1] for line in said] == ["up to date"] * 4 + ["version 1, as before"] * 2

    monkeypatch.setattr("sys.argv", ["export", "check", "--repository", str(repository)])
    main()
    assert "person_reid version 1: a plan in fp32 for this machine" in capsys.readouterr().out
    stand_in(programs, Machine("NVIDIA L4", "8.9", "11.2.1"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "model.plan: was built for NVIDIA H100" in capsys.readouterr().err
    export_all(config, print)
    assert versions(repository / REID) == [1, 2]
    main()


def test_check_asks_for_no_gpu_where_there_is_no_plan(tmp_path: Path) -> None:
    def nowhere() -> Machine:
        raise AssertionError

    with pytest.raises(PlanError, match="no model there"):
        check_repository(tmp_path, nowhere)
    models = {name: write_model(tmp_path / f"{name}.onnx", tensors, SOURCE) for name, tensors in BOTH.items()}
    write_repository(Target.ONNXRUNTIME_CUDA, tmp_path / "models", **models)
    assert check_repository(tmp_path / "models", nowhere) == [
        "person_detector version 1: no plan, not bound to a machine",
        "person_reid version 1: no plan, not bound to a machine",
    ]
    with pytest.raises(RepositoryError, match="a plan is built from an ONNX file first"):
        write_repository(Target.TENSORRT, tmp_path / "models", **models)


BOTH = {"detector": DETECTOR_TENSORS, "reid": REID_TENSORS}


class FakeTensorRT:
    """Stands in for the package: notes what is asked of it, in the order of asking."""

    __version__ = "11.2.1.2"

    class Logger:
        WARNING = 2

        def __init__(self, severity: int) -> None:
            self.severity = severity

    class MemoryPoolType:
        WORKSPACE = "workspace"

    class NetworkDefinitionCreationFlag:
        STRONGLY_TYPED = 1

    def __init__(self, *, plan: bytes | None = b"plan", errors: tuple[str, ...] = (), cache_fits: bool = True) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.plan, self.errors, self.cache_fits = plan, errors, cache_fits

    def __getattr__(self, name: str) -> Any:
        def note(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            return self

        return note

    def parse_from_file(self, path: str) -> bool:
        self.calls.append(("parse_from_file", path))
        return not self.errors

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> Any:
        return type("ParserError", (), {"desc": lambda _: self.errors[index]})()

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self.calls.append(("set_timing_cache", ignore_mismatch))
        return self.cache_fits

    def add_optimization_profile(self, profile: Any) -> int:
        return sum(call[0] == "set_shape" for call in self.calls) - 1

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        self.calls.append(("build_serialized_network",))
        return self.plan

    def serialize(self) -> bytes:
        return b"timings"

    def asked(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def job(reid_onnx_file: Path) -> PlanJob:
    return plan_job(reid_onnx_file, (1, 16), workspace_mib=1)


def test_the_package_is_asked_for_a_strongly_typed_network_with_all_profiles(job: PlanJob, tmp_path: Path) -> None:
    tensorrt = FakeTensorRT()
    builder, cache = PackageBuilder(tensorrt), tmp_path / "timing.cache"
    assert builder.version() == "11.2.1"
    builder.build(job, tmp_path / "r.plan", cache)
    assert (tmp_path / "r.plan").read_bytes() == b"plan"
    assert tensorrt.asked("create_network") == [(0b10,)]
    assert tensorrt.asked("parse_from_file") == [(str(job.onnx),)]
    assert tensorrt.asked("set_memory_pool_limit") == [("workspace", 2**20)]
    assert tensorrt.asked("set_shape") == [
        ("crops", (1, 256, 128, 3), (1, 256, 128, 3), (1, 256, 128, 3)),
        ("crops", (2, 256, 128, 3), (16, 256, 128, 3), (16, 256, 128, 3)),
    ]
    assert tensorrt.asked("create_timing_cache") == [(b"",)]
    builder.build(job, tmp_path / "r.plan", cache)
    assert tensorrt.asked("create_timing_cache")[1:] == [(b"timings",)]


def test_timings_of_another_gpu_are_not_used(job: PlanJob, tmp_path: Path) -> None:
    tensorrt, cache = FakeTensorRT(cache_fits=False), tmp_path / "timing.cache"
    cache.write_bytes(b"others")
    PackageBuilder(tensorrt).build(job, tmp_path / "r.plan", cache)
    assert tensorrt.asked("create_timing_cache") == [(b"others",), (b"",)]


@pytest.mark.parametrize(
    ("tensorrt", "message"),
    [
        (FakeTensorRT(errors=("no importer for Foo", "node 3")), r"person_reid\.onnx: no importer for Foo; node 3"),
        (FakeTensorRT(plan=None), r"person_reid\.onnx: TensorRT 11\.2\.1\.2 builds no plan of it"),
    ],
)
def test_what_the_package_refuses_is_told(job: PlanJob, tmp_path: Path, tensorrt: FakeTensorRT, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        PackageBuilder(tensorrt).build(job, tmp_path / "r.plan", tmp_path / "timing.cache")
    assert not (tmp_path / "r.plan").exists()


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(PlanError, match=r"the package tensorrt is not here .*spoton\[tensorrt\]"):
        open_package()


def test_the_builder_is_chosen_in_the_file(
    folder: Path,  # noqa: F811
    made: list[str],  # noqa: F811
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensorrt = FakeTensorRT()
    monkeypatch.setattr(production, "open_package", lambda: PackageBuilder(tensorrt))
    export_all(configured(folder, target="tensorrt", tensorrt={"builder": "package", "workspace_mib": 7}), print)
    assert tensorrt.asked("set_memory_pool_limit") == [("workspace", 7 * 2**20)] * 2
    assert len(tensorrt.asked("set_shape")) == 4 + 3


def test_the_extra_is_the_version_of_the_servers_image() -> None:
    root = Path(__file__).parents[2]
    compose = (root / "docker-compose.gpu.yml").read_text()
    assert '"tensorrt==11.2.1.' in (root / "pyproject.toml").read_text()
    assert "tritonserver:26.08-py3${TRITON_DIGEST:-} # TensorRT 11.2.1\n" in compose
    assert yaml.safe_load(compose)["services"]["triton"]["image"].endswith(":26.08-py3${TRITON_DIGEST:-}")
