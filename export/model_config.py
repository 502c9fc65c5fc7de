"""Triton's ``ModelConfig`` as far as SpotOn uses it: frozen dataclasses, and their text form.

Field names are those of ``model_config.proto``; a value of None leaves its field out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any


class DataType(Enum):
    """Element types, by their names in a configuration."""

    UINT8 = "TYPE_UINT8"
    FP32 = "TYPE_FP32"


class InstanceKind(Enum):
    """Where an instance of a model runs."""

    CPU = "KIND_CPU"
    GPU = "KIND_GPU"


class TimeoutAction(Enum):
    """What becomes of a request that waited too long."""

    REJECT = "REJECT"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class TensorConfig:
    """One input or output; ``dims`` without the batch."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """How many copies of a model run at once, and where."""

    count: int
    kind: InstanceKind
    profile: tuple[str, ...] = ()
    """Indices of the optimisation profiles of a TensorRT plan that the copies may choose from."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """A bounded queue: beyond its size or its timeout requests are refused at once."""

    timeout_action: TimeoutAction
    default_timeout_microseconds: int
    allow_timeout_override: bool
    max_queue_size: int


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """Requests that wait together run together."""

    preferred_batch_size: tuple[int, ...]
    max_queue_delay_microseconds: int
    default_queue_policy: QueuePolicy


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """An input of a warm-up request, filled with zeros."""

    data_type: DataType
    dims: tuple[int, ...]
    zero_data: bool = True


@dataclass(frozen=True, slots=True)
class Warmup:
    """A request that the server makes to itself before it calls the model ready."""

    name: str
    batch_size: int
    inputs: Mapping[str, WarmupInput]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A free parameter of a model."""

    string_value: str


@dataclass(frozen=True, slots=True)
class Latest:
    """Serve the newest versions only."""

    num_versions: int


@dataclass(frozen=True, slots=True)
class Specific:
    """Serve these versions and no other, whatever lies beside them."""

    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions of a model are served: one of the two."""

    latest: Latest | None = None
    specific: Specific | None = None


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A whole ``config.pbtxt``."""

    name: str
    max_batch_size: int
    input: tuple[TensorConfig, ...]
    output: tuple[TensorConfig, ...]
    instance_group: tuple[InstanceGroup, ...]
    dynamic_batching: DynamicBatching
    version_policy: VersionPolicy
    model_warmup: tuple[Warmup, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    backend: str | None = None
    platform: str | None = None

    def to_pbtxt(self) -> str:
        """The configuration in protobuf's text form."""
        return "\n".join(_message(self, 0)) + "\n"


def _message(value: Any, depth: int) -> Iterator[str]:
    for member in fields(value):
        content = getattr(value, member.name)
        if content is not None:
            yield from _field(member.name, content, depth)


def _field(name: str, value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{indent}{name} {{"
            yield f'{indent}  key: "{key}"'
            yield from _field("value", item, depth + 1)
            yield f"{indent}}}"
    elif is_dataclass(value):
        yield f"{indent}{name} {{"
        yield from _message(value, depth + 1)
        yield f"{indent}}}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _repeated(name, value, depth)
    else:
        yield f"{indent}{name}: {_scalar(value)}"


def _repeated(name: str, values: Sequence[Any], depth: int) -> Iterator[str]:
    if any(is_dataclass(value) for value in values):
        for value in values:
            yield from _field(name, value, depth)
    elif values:
        yield f"{'  ' * depth}{name}: [{', '.join(_scalar(value) for value in values)}]"


def _scalar(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
