"""The YAML file that says what to export, from what, and where it is served: read, validated, paths resolved.

::

    target: tensorrt              # or onnxruntime_cuda, cpu
    repository: /models           # what Triton serves
    work: /work                   # ONNX files, plans and the record of what they were made from
    triton: triton:8001           # optional: a server of the repository, which loads what is new
    detector:
      architecture: fasterrcnn_resnet50_fpn_v2
      weights: detector.pth       # or torchvision's name: COCO_V1
      precision: fp16             # or fp32, the default, or int8 with calibration as below
      height: 768
      width: 1344
    reid:
      weights: clip_market1501.pt
      precision: int8             # or fp16, or fp32, the default
      calibration:                # for int8: your own video, which its scales are measured on
        videos: [monday.mp4]
    verify:                       # optional
      images: photos

Relative paths are relative to the file's own folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from export.plans import BUILD_TIMEOUT_S, WORKSPACE_MIB
from export.precision import LEAST_CROPS, LEAST_FRAMES, Precision
from export.serving import DETECTOR, Serving, Target, default_serving

_PUBLISHED_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
FOLDER = "folder"
"""Key of the validation context: what relative paths start from."""


class ConfigError(ValueError):
    """The file cannot be read or says something it cannot mean; names the file, the field and why."""


def rising(batches: tuple[int, ...]) -> tuple[int, ...]:
    """The batch sizes themselves; raises ``ValueError``."""
    if not batches or any(low >= high for low, high in pairwise((0, *batches))):
        raise ValueError("batch sizes must be rising numbers from 1 on")
    return batches


def _resolved(path: Path, info: ValidationInfo) -> Path:
    return Path(info.context[FOLDER], path.expanduser()) if info.context else path


def _file_or_name(weights: Path | str, info: ValidationInfo) -> Path | str:
    """A path where it looks like one: torchvision's names (``COCO_V1``) have neither folder nor suffix."""
    path = Path(weights)
    is_name = _PUBLISHED_NAME.fullmatch(str(weights)) and not _resolved(path, info).exists()
    return str(weights) if is_name else _resolved(path, info)


def _host_and_port(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError("must be HOST:PORT")
    return address


ResolvedPath = Annotated[Path, AfterValidator(_resolved)]
Side = Annotated[int, Field(gt=0, multiple_of=32)]
Videos = Annotated[tuple[ResolvedPath, ...], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServingConfig(_Section):
    """What differs from ``export.serving.default_serving``."""

    batches: Annotated[tuple[int, ...], AfterValidator(rising)] | None = None
    instances: PositiveInt | None = None
    queue_delay_us: Annotated[int, Field(ge=0)] | None = None
    timeout_s: PositiveFloat | None = None
    max_queue_size: PositiveInt | None = None
    max_batch_size: PositiveInt | None = None
    """On a CPU; a GPU takes no batch larger than the last of ``batches``."""
    rows_per_run: PositiveInt | None = None
    """On a CPU."""

    def resolve(self, name: str, target: Target) -> Serving:
        """All values for the model called ``name``."""
        given = {field: value for field, value in self if value is not None}
        serving = replace(default_serving(name, target), **given)
        return serving if target is Target.CPU else replace(serving, max_batch_size=serving.batches[-1])


class FrameConfig(_Section):
    """What the scales of an int8 detector are measured on; see ``export.quantise_detector``."""

    videos: Videos
    frames: Annotated[int, Field(ge=LEAST_FRAMES)] = 64


class CalibrationConfig(_Section):
    """What the scales of an int8 Re-ID model are measured on; see ``export.calibration``."""

    videos: Videos
    crops: Annotated[int, Field(ge=LEAST_CROPS)] = 256


def _check_calibrated(precision: Precision, calibration: BaseModel | None) -> None:
    if (precision is Precision.INT8) != (calibration is not None):
        raise ValueError("precision int8 and calibration (videos) go together")


class DetectorConfig(_Section):
    """A Faster R-CNN; see ``export.detectors``."""

    architecture: str
    weights: Annotated[Path | str, AfterValidator(_file_or_name)]
    """A file, or a name under which torchvision publishes weights, which are downloaded once."""
    height: Side
    width: Side
    precision: Precision = Precision.FP32
    calibration: FrameConfig | None = None
    """For int8, and for nothing else."""
    serving: ServingConfig = ServingConfig()

    @model_validator(mode="after")
    def _calibrated_if_int8(self) -> Self:
        _check_calibrated(self.precision, self.calibration)
        return self


class ReidConfig(_Section):
    """A Re-ID network; see ``export.embedders``."""

    weights: ResolvedPath
    architecture: str | None = None
    """None: what the names in the file say."""
    precision: Precision = Precision.FP32
    calibration: CalibrationConfig | None = None
    """For int8, and for nothing else."""
    neck: Literal["after", "before"] = "after"
    camera: Annotated[int, Field(ge=0)] | None = None
    serving: ServingConfig = ServingConfig()

    @model_validator(mode="after")
    def _calibrated_if_int8(self) -> Self:
        _check_calibrated(self.precision, self.calibration)
        return self


class TensorRTConfig(_Section):
    """How plans are built, for ``target: tensorrt``."""

    builder: Literal["trtexec", "package"] = "trtexec"
    """The program of Triton's container, or the Python package."""
    workspace_mib: PositiveInt = WORKSPACE_MIB
    timeout_s: PositiveFloat = BUILD_TIMEOUT_S
    """For one plan by ``trtexec``."""


class ToleranceConfig(_Section):
    """What differs from ``export.verify.TOLERANCES``."""

    iou: Share | None = None
    score: Share | None = None
    share: Share | None = None
    cosine: Share | None = None


class VerifyConfig(_Section):
    """Pictures with people, on which the server is held against eager PyTorch."""

    images: ResolvedPath
    limit: PositiveInt = 64
    tolerance: ToleranceConfig = ToleranceConfig()


class ExportConfig(_Section):
    """The whole file."""

    target: Target
    repository: ResolvedPath
    work: ResolvedPath
    triton: Annotated[str, AfterValidator(_host_and_port)] | None = None
    detector: DetectorConfig
    reid: ReidConfig
    tensorrt: TensorRTConfig = TensorRTConfig()
    verify: VerifyConfig | None = None

    def serving(self, name: str) -> Serving:
        """How the model called ``name`` is served."""
        section = self.detector if name == DETECTOR else self.reid
        return section.serving.resolve(name, self.target)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a command line says instead of the file; relative paths are relative to the working directory."""

    repository: Path | None = None
    work: Path | None = None
    triton: str | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name in ("repository", "work"):
            path = getattr(self, name)
            if path is not None:
                yield name, str(path.absolute())
        if self.triton is not None:
            yield "triton", self.triton


def load_config(path: Path, overrides: Overrides | None = None) -> ExportConfig:
    """Reads and checks the file. Raises ``ConfigError``, a line for all that is wrong, and ``OSError``."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold fields such as 'target: cpu'")
    try:
        return ExportConfig.model_validate(
            {**content, **dict(overrides or ())}, context={FOLDER: path.absolute().parent}
        )
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_sentences(error))}") from None


def _sentences(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        where = ".".join(map(str, problem["loc"])) or "file"
        yield f"{where}: {problem['msg'].removeprefix('Value error, ')}"
