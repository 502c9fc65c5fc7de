"""How Triton serves the two models: one ``config.pbtxt`` for each model and each way of running it.

``model_repository/`` holds what ``write_committed_sets`` makes of this file. A repository written for a user's own
models differs from it in sizes, in ``model_id`` and, on a CPU, in the number of instances.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from export.model_config import (
    DataType,
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    Latest,
    ModelConfig,
    Parameter,
    QueuePolicy,
    Specific,
    TensorConfig,
    TimeoutAction,
    VersionPolicy,
    Warmup,
    WarmupInput,
)
from export.precision import Precision

DETECTOR = "person_detector"
REID = "person_reid"
CROP_HW = (256, 128)
CONFIG = "config.pbtxt"


class Target(StrEnum):
    """What runs the models."""

    TENSORRT = "tensorrt"
    """TensorRT plans on a GPU."""
    ONNXRUNTIME_CUDA = "onnxruntime_cuda"
    """Triton's own ONNX Runtime backend on a GPU."""
    CPU = "cpu"
    """ONNX Runtime inside Triton's Python backend, which the server of ``make demo`` has."""

    @property
    def model_file(self) -> str:
        """The file that a version of a model consists of."""
        return "model.plan" if self is Target.TENSORRT else "model.onnx"


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server runs one model; see ``CPU_DETECTOR`` and its siblings for the values in use."""

    batches: tuple[int, ...]
    """Batch sizes that the server warms up, rising; the last is the largest it takes. A plan has a profile for each."""
    instances: int
    queue_delay_us: int
    timeout_s: float
    max_queue_size: int
    max_batch_size: int
    rows_per_run: int | None = None
    """On a CPU, rows that an instance, which has one thread there, computes at once; None on a GPU."""


def _on_cpu(max_batch_size: int, instances: int, rows_per_run: int) -> Serving:
    return Serving(
        tuple(sorted({1, rows_per_run})),
        instances,
        queue_delay_us=0,
        timeout_s=60,
        max_queue_size=64,
        max_batch_size=max_batch_size,
        rows_per_run=rows_per_run,
    )


def _on_gpu(batches: tuple[int, ...], instances: int, queue_delay_us: int) -> Serving:
    return Serving(batches, instances, queue_delay_us, timeout_s=5, max_queue_size=64, max_batch_size=batches[-1])


LEAST_CPU_INSTANCES = 2
CORES = len(os.sched_getaffinity(0))
"""That this process may use."""
CPU_DETECTOR = _on_cpu(8, instances=min(max(CORES, LEAST_CPU_INSTANCES), 8), rows_per_run=1)
"""An instance a core, two at least and eight at most: with several requests in flight on two cores a fifth faster than
one of two threads. A frame at a time takes 13 % less than four, and four crops 25 % less a crop than twenty-four: their
activations fit the cache."""
CPU_REID = _on_cpu(64, instances=1, rows_per_run=4)
GPU_DETECTOR = _on_gpu((1, 4, 8, 16), instances=2, queue_delay_us=0)
GPU_REID = _on_gpu((1, 16, 128), instances=1, queue_delay_us=500)


def default_serving(name: str, target: Target) -> Serving:
    """The values in use for the model called ``name``."""
    if target is Target.CPU:
        return CPU_DETECTOR if name == DETECTOR else CPU_REID
    return GPU_DETECTOR if name == DETECTOR else GPU_REID


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """A TensorRT optimisation profile: the batch sizes it takes, and the one it is made for, which is the largest."""

    smallest: int
    largest: int


def batch_profiles(batches: tuple[int, ...]) -> tuple[BatchProfile, ...]:
    """One profile for each batch size, (1, 4, 8) giving 1, 2..4 and 5..8, so that each batch has exactly one."""
    return tuple(BatchProfile(below + 1, batch) for below, batch in pairwise((0, *batches)))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the server must know it: tensors without the batch, and the id that answers are stored with."""

    name: str
    model_id: str
    input: TensorConfig
    outputs: tuple[TensorConfig, ...]
    precision: Precision = Precision.FP32


def detector_spec(
    model_id: str, *, height: int, width: int, detections: int, precision: Precision = Precision.FP32
) -> ModelSpec:
    """``person_detector`` of the tensor contract for one input size and a fixed number of rows."""
    return ModelSpec(
        DETECTOR,
        model_id,
        TensorConfig("images", DataType.UINT8, (height, width, 3)),
        (
            TensorConfig("boxes", DataType.FP32, (detections, 4)),
            TensorConfig("scores", DataType.FP32, (detections,)),
        ),
        precision,
    )


def reid_spec(model_id: str, *, dimensions: int, precision: Precision = Precision.FP32) -> ModelSpec:
    """``person_reid`` of the tensor contract."""
    return ModelSpec(
        REID,
        model_id,
        TensorConfig("crops", DataType.UINT8, (*CROP_HW, 3)),
        (TensorConfig("embeddings", DataType.FP32, (dimensions,)),),
        precision,
    )


def committed_specs(target: Target) -> tuple[ModelSpec, ModelSpec]:
    """What ``model_repository/`` is committed for: the production models on a GPU, the demo's on a CPU."""
    if target is Target.CPU:
        return (
            detector_spec("fasterrcnn_csp_pan-demo", height=384, width=672, detections=64),
            reid_spec("lite0_bands-demo", dimensions=256),
        )
    return (
        detector_spec("fasterrcnn_resnet50_fpn_v2-COCO_V1", height=768, width=1344, detections=100),
        reid_spec("clip_vitb16-market1501", dimensions=1280),
    )


def model_config(spec: ModelSpec, serving: Serving, target: Target, version: int | None = None) -> ModelConfig:
    """The whole configuration of one model; it names the version to serve, or None for whichever is the newest."""
    served = VersionPolicy(Latest(1)) if version is None else VersionPolicy(specific=Specific((version,)))
    return ModelConfig(
        name=spec.name,
        backend="python" if target is Target.CPU else None,
        platform=_PLATFORMS[target],
        max_batch_size=serving.max_batch_size,
        input=(spec.input,),
        output=spec.outputs,
        instance_group=(_instances(serving, target),),
        dynamic_batching=_batching(serving),
        version_policy=served,
        model_warmup=tuple(_warm_up(spec, batch) for batch in serving.batches),
        parameters={
            "model_id": Parameter(spec.model_id),
            "precision": Parameter(spec.precision.value),
            **_parameters(serving, target),
        },
    )


def committed_configs() -> Iterator[tuple[Path, ModelConfig]]:
    """Path below ``model_repository/`` and content of every file there."""
    for target in Target:
        for spec in committed_specs(target):
            serving = default_serving(spec.name, target)
            if serving is CPU_DETECTOR:
                serving = replace(serving, instances=LEAST_CPU_INSTANCES)
            yield Path(target.value, spec.name, CONFIG), model_config(spec, serving, target)


def write_committed_sets(out: Path) -> None:
    """Writes ``model_repository/``: three sets of configurations, without any weights."""
    for path, config in committed_configs():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(config.to_pbtxt())


_PLATFORMS = {Target.TENSORRT: "tensorrt_plan", Target.ONNXRUNTIME_CUDA: "onnxruntime_onnx", Target.CPU: None}


def _instances(serving: Serving, target: Target) -> InstanceGroup:
    """Triton uses the first profile of a plan only, unless told which there are."""
    kind = InstanceKind.CPU if target is Target.CPU else InstanceKind.GPU
    profiles = tuple(str(index) for index, _ in enumerate(serving.batches)) if target is Target.TENSORRT else ()
    return InstanceGroup(serving.instances, kind, profiles)


def _parameters(serving: Serving, target: Target) -> dict[str, Parameter]:
    if target is Target.CPU:
        rows = serving.rows_per_run or serving.max_batch_size
        return {"intra_op_threads": Parameter("1"), "rows_per_run": Parameter(str(rows))}
    if target is Target.ONNXRUNTIME_CUDA:
        return {"cudnn_conv_algo_search": Parameter("1")}  # by heuristics: a search would halt each new batch size
    return {}


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
