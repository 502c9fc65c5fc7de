"""Everything that a YAML file asks for, from weights to a server that answers as they do; what is current stays.

A new version that does not load, or misses parity, is not placed, so that what was served before goes on being served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from export.config import CalibrationConfig, DetectorConfig, ExportConfig, FrameConfig, ReidConfig
from export.files import clear_partial
from export.plans import make_plan, plan_content, plan_job, this_machine
from export.precision import Precision
from export.records import Facts, digest, is_current, write_record
from export.repository import Content, locked, onnx_content, read_detector, read_reid
from export.rollout import Prove, publish
from export.served import Server
from export.serving import DETECTOR, REID, Target
from export.tensorrt_package import open_package
from export.trial import Model, Names
from export.trtexec import TrtexecBuilder

SOURCES = Path(__file__).parent
EXPORTERS = ("torch", "torchvision", "timm", "onnx", "onnx-ir", "onnxscript")
"""What else decides how a graph looks."""
NOT_MADE_FROM = ("serving", "weights", "calibration")
"""Options that an ONNX file does not depend on, or whose content counts and not their names."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file to be made: from what, and how."""

    path: Path
    description: str
    facts: Facts
    make: Callable[[], object]


def export_all(config: ExportConfig, say: Say) -> None:
    """Makes what is not current, places it, and has the server named in ``config`` load and prove it.

    Raises ``ValueError`` or ``OSError`` with a sentence for people; what is served is then what it was before.
    """
    with locked(config.work):
        clear_partial(config.work)
        detector = _detector_file(config.work, config.detector, say)
        files = [detector, _reid_file(config.work, config.reid, detector, say)]
        for file in files:
            _make(file, say)
        specs = (read_detector(files[0].path), read_reid(files[1].path))
        contents = _contents(config, [file.path for file in files], say)
        models = [
            Model(spec, content, config.serving(spec.name)) for spec, content in zip(specs, contents, strict=True)
        ]
        with Server(config.triton) if config.triton else nullcontext() as server:
            prove = _parity(config, server, say) if server is not None else None
            for placed in publish(config.repository, models, config.target, server, prove):
                say(f"{placed.name}: version {placed.version}{'' if placed.is_new else ', as before'}")


def _make(file: OnnxFile, say: Say) -> None:
    if is_current(file.path, file.facts):
        say(f"{file.path.name}: up to date")
        return
    say(f"{file.path.name}: {file.description}")
    started = time.monotonic()
    file.make()
    write_record(file.path, file.facts)
    say(f"{file.path.name}: made in {time.monotonic() - started:.0f} s, {file.path.stat().st_size / 1e6:.1f} MB")


def _contents(config: ExportConfig, files: Sequence[Path], say: Say) -> list[Content]:
    """What a version of each model holds: its ONNX file, or the plan that is built of it here."""
    if config.target is not Target.TENSORRT:
        return [onnx_content(path, config.target) for path in files]
    wanted = config.tensorrt
    builder = open_package() if wanted.builder == "package" else TrtexecBuilder(timeout_s=wanted.timeout_s)
    contents = []
    for path in files:
        plan = path.with_suffix(".plan")
        make_plan(plan_job(path, config.serving(path.stem).batches, wanted.workspace_mib), builder, plan, say)
        contents.append(plan_content(plan, path, this_machine(builder)))
    return contents


def _parity(config: ExportConfig, server: Server, say: Say) -> Prove | None:
    """What holds the server's answers against eager PyTorch's, where pictures are given."""
    chosen = config.verify
    if chosen is None:
        return None
    from export.verify import verify_served

    def prove(names: Names) -> None:
        verify_served(config, server, chosen, say, names)

    return prove


def _detector_file(work: Path, wanted: DetectorConfig, say: Say) -> OnnxFile:
    path = work / f"{DETECTOR}.onnx"

    facts = _facts(wanted.model_dump(mode="json"), wanted.weights)
    if wanted.calibration is not None:
        facts = {**facts, "calibration": _frame_facts(wanted.calibration)}

    def make() -> None:
        if wanted.calibration is None:
            _export_detector(wanted, path, wanted.precision)
        else:
            _export_int8_detector(wanted, path, wanted.calibration, say)

    description = f"{wanted.architecture}, {wanted.height} x {wanted.width}, {wanted.precision}, from {wanted.weights}"
    return OnnxFile(path, description, facts, make)


def _export_detector(wanted: DetectorConfig, path: Path, precision: Precision) -> None:
    from export.onnx_models import export_detector_file

    size = {"height": wanted.height, "width": wanted.width}
    export_detector_file(wanted.architecture, wanted.weights, path, **size, precision=precision)


def _export_int8_detector(wanted: DetectorConfig, path: Path, calibration: FrameConfig, say: Say) -> None:
    from export.quantise_detector import quantise_detector

    with _single_precision(path) as single:
        _export_detector(wanted, single, Precision.FP32)
        say(f"{path.name}: {quantise_detector(single, calibration.videos, calibration.frames, path)}")


def _frame_facts(calibration: FrameConfig) -> Facts:
    return {**_measured_on(calibration.videos), "frames": calibration.frames}


def _reid_file(work: Path, wanted: ReidConfig, detector: OnnxFile, say: Say) -> OnnxFile:
    path = work / f"{REID}.onnx"
    facts = _facts(wanted.model_dump(mode="json"), wanted.weights)
    if wanted.calibration is not None:
        facts = {**facts, "calibration": _calibration_facts(wanted.calibration, detector)}

    def make() -> None:
        if wanted.calibration is None:
            _export_reid(wanted, path, wanted.precision)
        else:
            _export_int8(wanted, path, wanted.calibration, detector.path, say)

    description = f"{wanted.architecture or 'Re-ID'}, {wanted.precision}, from {wanted.weights}"
    return OnnxFile(path, description, facts, make)


def _export_reid(wanted: ReidConfig, path: Path, precision: Precision) -> None:
    from export.clip_reid import Neck
    from export.embedders import EmbedderOptions
    from export.onnx_models import export_reid_file

    options = EmbedderOptions(Neck(wanted.neck), wanted.camera)
    export_reid_file(wanted.architecture, wanted.weights, path, options, precision)


def _export_int8(wanted: ReidConfig, path: Path, calibration: CalibrationConfig, detector: Path, say: Say) -> None:
    from export.calibration import crops_from_videos
    from export.quantise import quantise

    with _single_precision(path) as single:
        _export_reid(wanted, single, Precision.FP32)
        crops = crops_from_videos(calibration.videos, detector, calibration.crops)
        say(f"{path.name}: {quantise(single, crops, path)}")


@contextmanager
def _single_precision(path: Path) -> Iterator[Path]:
    """Where the model lies while its int8 form is made."""
    single = path.with_name(f".{path.name}.fp32.part")
    try:
        yield single
    finally:
        single.unlink(missing_ok=True)


def _calibration_facts(calibration: CalibrationConfig, detector: OnnxFile) -> Facts:
    """The detector finds the crops, so that its facts are part of them."""
    return {**_measured_on(calibration.videos), "crops": calibration.crops, "detector": detector.facts}


def _measured_on(videos: Sequence[Path]) -> Facts:
    return {"videos": [digest(video) for video in videos], "onnxruntime": version("onnxruntime")}


def _facts(options: Mapping[str, object], weights: Path | str) -> Facts:
    """What an ONNX file depends on; how it is served and where its weights lie are not of that.

    Published weights are known by their name: torchvision never puts others under it.
    """
    return {
        "options": {name: value for name, value in options.items() if name not in NOT_MADE_FROM},
        "weights": digest(weights) if isinstance(weights, Path) else weights,
        "sources": {str(path.relative_to(SOURCES)): digest(path) for path in sorted(SOURCES.rglob("*.py"))},
        "packages": {name: version(name) for name in EXPORTERS},
    }
