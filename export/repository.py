"""Writes the model repository that Triton serves: a folder for each model with its configuration and its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import onnx

from export.model_config import (
    DataType,
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    Latest,
    ModelConfig,
    Parameter,
    QueuePolicy,
    TensorConfig,
    TimeoutAction,
    VersionPolicy,
    Warmup,
    WarmupInput,
)
from export.onnx_file import ModelSource
from export.reid import CROP_HW

DETECTOR = "person_detector"
REID = "person_reid"
BACKEND = Path(__file__).parent / "backends" / "onnxruntime_cpu" / "model.py"


class Target(StrEnum):
    """What runs the models."""

    CPU = "cpu"
    """ONNX Runtime inside Triton's Python backend."""
    TENSORRT = "tensorrt"
    """TensorRT plans on a GPU; the plan of each model goes into its version folder as ``model.plan``."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server runs one model; see ``CPU_DETECTOR`` and its siblings for the values in use."""

    max_batch_size: int
    instances: int
    queue_delay_us: int
    timeout_s: float
    max_queue_size: int
    warm_up_batches: tuple[int, ...]
    rows_per_run: int | None = None
    """On a CPU, rows that an instance, which has one thread there, computes at once; None on a GPU."""


def _on_cpu(max_batch_size: int, instances: int, rows_per_run: int) -> Serving:
    return Serving(
        max_batch_size,
        instances,
        queue_delay_us=0,
        timeout_s=60,
        max_queue_size=64,
        warm_up_batches=tuple(sorted({1, rows_per_run})),
        rows_per_run=rows_per_run,
    )


CORES = len(os.sched_getaffinity(0))
"""That this process may use."""
CPU_DETECTOR = _on_cpu(8, instances=min(max(CORES, 2), 8), rows_per_run=1)
"""An instance a core, two at least and eight at most: with several requests in flight on two cores a fifth faster than
one of two threads. A frame at a time takes 13 % less than four, and four crops 25 % less a crop than twenty-four: their
activations fit the cache."""
CPU_REID = _on_cpu(64, instances=1, rows_per_run=4)
GPU_DETECTOR = Serving(16, instances=2, queue_delay_us=0, timeout_s=5, max_queue_size=64, warm_up_batches=(1, 4, 8, 16))
GPU_REID = Serving(128, instances=1, queue_delay_us=500, timeout_s=5, max_queue_size=64, warm_up_batches=(1, 16, 128))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the server must know it: tensors without the batch, and the id that answers are stored with."""

    name: str
    model_id: str
    input: TensorConfig
    outputs: tuple[TensorConfig, ...]


def detector_spec(model_id: str, *, height: int, width: int, detections: int) -> ModelSpec:
    """``person_detector`` of the tensor contract for one input size and a fixed number of rows."""
    return ModelSpec(
        DETECTOR,
        model_id,
        TensorConfig("images", DataType.UINT8, (height, width, 3)),
        (
            TensorConfig("boxes", DataType.FP32, (detections, 4)),
            TensorConfig("scores", DataType.FP32, (detections,)),
        ),
    )


def reid_spec(model_id: str, *, dimensions: int) -> ModelSpec:
    """``person_reid`` of the tensor contract."""
    return ModelSpec(
        REID,
        model_id,
        TensorConfig("crops", DataType.UINT8, (*CROP_HW, 3)),
        (TensorConfig("embeddings", DataType.FP32, (dimensions,)),),
    )


def production_specs() -> tuple[ModelSpec, ModelSpec]:
    """The models that ``model_repository/`` is committed for: Faster R-CNN ResNet-50-FPN v2 and CLIP-ReID ViT-B/16."""
    return (
        detector_spec("fasterrcnn_resnet50_fpn_v2-COCO_V1", height=768, width=1344, detections=100),
        reid_spec("clip_vitb16-market1501", dimensions=1280),
    )


def model_config(spec: ModelSpec, serving: Serving, target: Target) -> ModelConfig:
    """The whole configuration of one model."""
    on_cpu = target is Target.CPU
    parameters = {"model_id": Parameter(spec.model_id)}
    if on_cpu:
        parameters["intra_op_threads"] = Parameter("1")
        parameters["rows_per_run"] = Parameter(str(serving.rows_per_run or serving.max_batch_size))
    return ModelConfig(
        name=spec.name,
        backend="python" if on_cpu else None,
        platform=None if on_cpu else "tensorrt_plan",
        max_batch_size=serving.max_batch_size,
        input=(spec.input,),
        output=spec.outputs,
        instance_group=(InstanceGroup(serving.instances, InstanceKind.CPU if on_cpu else InstanceKind.GPU),),
        dynamic_batching=_batching(serving),
        version_policy=VersionPolicy(Latest(1)),
        model_warmup=tuple(_warm_up(spec, batch) for batch in serving.warm_up_batches),
        parameters=parameters,
    )


def write_repository(
    target: Target,
    out: Path,
    *,
    detector: Path,
    reid: Path,
    detector_serving: Serving | None = None,
    reid_serving: Serving | None = None,
) -> None:
    """Writes ``out/person_detector`` and ``out/person_reid`` for two ONNX files made by this package.

    Each model's folder is complete before it appears under its name. For TensorRT the ONNX file lies beside the
    configuration, to build the plan from. Raises ``ValueError`` for a file that does not fit the tensor contract.
    """
    gpu = target is Target.TENSORRT
    detector_serving = detector_serving or (GPU_DETECTOR if gpu else CPU_DETECTOR)
    reid_serving = reid_serving or (GPU_REID if gpu else CPU_REID)
    _write_model(out, model_config(_read_detector(detector), detector_serving, target), detector, target)
    _write_model(out, model_config(_read_reid(reid), reid_serving, target), reid, target)


def write_production_configs(out: Path) -> None:
    """Writes the configurations of ``production_specs`` for TensorRT, without any weights."""
    detector, reid = production_specs()
    for spec, serving in ((detector, GPU_DETECTOR), (reid, GPU_REID)):
        folder = out / spec.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.pbtxt").write_text(model_config(spec, serving, Target.TENSORRT).to_pbtxt())


def _batching(serving: Serving) -> DynamicBatching:
    policy = QueuePolicy(
        timeout_action=TimeoutAction.REJECT,
        default_timeout_microseconds=round(serving.timeout_s * 1e6),
        allow_timeout_override=True,
        max_queue_size=serving.max_queue_size,
    )
    return DynamicBatching((), serving.queue_delay_us, policy)


def _warm_up(spec: ModelSpec, batch: int) -> Warmup:
    return Warmup(f"batch_{batch}", batch, {spec.input.name: WarmupInput(spec.input.data_type, spec.input.dims)})


def _write_model(out: Path, config: ModelConfig, source: Path, target: Target) -> None:
    out.mkdir(parents=True, exist_ok=True)
    partial, folder = out / f".{config.name}.part", out / config.name
    shutil.rmtree(partial, ignore_errors=True)
    version = partial / "1"
    version.mkdir(parents=True)
    (partial / "config.pbtxt").write_text(config.to_pbtxt())
    if target is Target.CPU:
        shutil.copyfile(source, version / "model.onnx")
        shutil.copyfile(BACKEND, version / "model.py")
    else:
        shutil.copyfile(source, partial / "model.onnx")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _read_detector(path: Path) -> ModelSpec:
    model, shapes = _open(path)
    height, width, _ = _fixed(path, shapes, "images", 3)
    detections = _fixed(path, shapes, "scores", 1)[0]
    return detector_spec(_model_id(path, model), height=height, width=width, detections=detections)


def _read_reid(path: Path) -> ModelSpec:
    model, shapes = _open(path)
    if _fixed(path, shapes, "crops", 3) != (*CROP_HW, 3):
        raise ValueError(f"{path}: crops must be {CROP_HW[0]} x {CROP_HW[1]} x 3")
    return reid_spec(_model_id(path, model), dimensions=_fixed(path, shapes, "embeddings", 1)[0])


def _open(path: Path) -> tuple[onnx.ModelProto, Mapping[str, tuple[int, ...]]]:
    """The model and the shape of each of its tensors without the batch; an axis of no fixed length counts as 0."""
    model = onnx.load(path)
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
        for value in (*model.graph.input, *model.graph.output)
    }
    return model, shapes


def _fixed(path: Path, shapes: Mapping[str, tuple[int, ...]], name: str, rank: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise ValueError(f"{path}: no tensor {name!r}; it has {', '.join(shapes)}")
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"{path}: {name} must have {rank} fixed axes after the batch, got {shape}")
    return shape


def _model_id(path: Path, model: onnx.ModelProto) -> str:
    properties = {entry.key: entry.value for entry in model.metadata_props}
    try:
        return ModelSource(properties["architecture"], properties["weights_digest"]).model_id
    except KeyError as missing:
        raise ValueError(f"{path}: no metadata {missing}; was it written by `python -m export`?") from None
