"""The committed ``model_repository/``: regenerated, compared, and read as Triton reads it."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelQueuePolicy

from export.serving import DETECTOR, REID, BatchProfile, Target, batch_profiles, committed_configs

COMMITTED = Path(__file__).parents[2] / "model_repository"
SETS = [(target, name) for target in Target for name in (DETECTOR, REID)]


def committed(target: Target, name: str) -> ModelConfig:
    return text_format.Parse((COMMITTED / target.value / name / "config.pbtxt").read_text(), ModelConfig())


def test_committed_configurations_are_the_generated_ones() -> None:
    generated = {path: config.to_pbtxt() for path, config in committed_configs()}
    have = {file.relative_to(COMMITTED): file.read_text() for file in COMMITTED.rglob("*") if file.is_file()}
    assert len(generated) == 6
    assert have == generated, "make them anew: python -m export configs"


@pytest.mark.parametrize(("target", "name"), SETS)
def test_every_set_bounds_its_queue_and_warms_up(target: Target, name: str) -> None:
    config = committed(target, name)
    assert config.name == name
    policy = config.dynamic_batching.default_queue_policy
    assert policy.max_queue_size > 0
    assert policy.default_timeout_microseconds > 0
    assert policy.timeout_action == ModelQueuePolicy.REJECT
    assert config.version_policy.latest.num_versions == 1
    warm = [entry.batch_size for entry in config.model_warmup]
    assert warm == sorted(set(warm))
    assert warm[-1] <= config.max_batch_size
    (group,) = config.instance_group
    assert group.kind == (ModelInstanceGroup.KIND_CPU if target is Target.CPU else ModelInstanceGroup.KIND_GPU)


@pytest.mark.parametrize("name", [DETECTOR, REID])
def test_a_plan_has_a_profile_for_each_batch_that_is_warmed_up(name: str) -> None:
    config = committed(Target.TENSORRT, name)
    batches = tuple(entry.batch_size for entry in config.model_warmup)
    assert list(config.instance_group[0].profile) == [str(index) for index in range(len(batches))]
    profiles = batch_profiles(batches)
    assert [profile.largest for profile in profiles] == list(batches)
    assert [rows for profile in profiles for rows in range(profile.smallest, profile.largest + 1)] == list(
        range(1, config.max_batch_size + 1)
    )


def test_profiles_part_the_batch_sizes() -> None:
    assert batch_profiles((1, 4, 8)) == (BatchProfile(1, 1), BatchProfile(2, 4), BatchProfile(5, 8))


@pytest.mark.parametrize(
    ("target", "platform", "backend", "size", "dimensions"),
    [
        (Target.TENSORRT, "tensorrt_plan", "", [768, 1344, 3], 1280),
        (Target.ONNXRUNTIME_CUDA, "onnxruntime_onnx", "", [768, 1344, 3], 1280),
        (Target.CPU, "", "python", [384, 672, 3], 256),
    ],
)
def test_each_set_is_for_its_own_backend_and_models(
    target: Target, platform: str, backend: str, size: list[int], dimensions: int
) -> None:
    detector, reid = committed(target, DETECTOR), committed(target, REID)
    assert {detector.platform, reid.platform} == {platform}
    assert {detector.backend, reid.backend} == {backend}
    assert list(detector.input[0].dims) == size
    assert list(reid.output[0].dims) == [dimensions]
