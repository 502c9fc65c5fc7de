"""The tensors that the two models must have, checked against what the server says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from orchestrator.errors import ModelContractError
from orchestrator.inference.protocols import ModelId

CROP_HW: Final = (256, 128)
"""Height and width of a Re-ID crop, pixels."""

_ANY: Final = -1


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, Triton datatype and shape of one tensor; -1 in a shape stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ", ".join("any" if size == _ANY else str(size) for size in self.shape)
        return f"{self.datatype} [{sizes}]"

    def fits(self, other: Tensor) -> bool:
        """True where ``other`` is of this datatype and of every size that is fixed here."""
        sizes = zip(self.shape, other.shape, strict=False)
        same_rank = len(self.shape) == len(other.shape)
        return same_rank and self.datatype == other.datatype and all(mine in (_ANY, size) for mine, size in sizes)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as the server describes it."""

    name: str
    model_id: ModelId
    max_batch_size: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


DETECTOR_INPUT: Final = Tensor("images", "UINT8", (_ANY, _ANY, _ANY, 3))
DETECTOR_OUTPUTS: Final = (Tensor("boxes", "FP32", (_ANY, _ANY, 4)), Tensor("scores", "FP32", (_ANY, _ANY)))
REID_INPUT: Final = Tensor("crops", "UINT8", (_ANY, *CROP_HW, 3))
REID_OUTPUTS: Final = (Tensor("embeddings", "FP32", (_ANY, _ANY)),)


def model_info(metadata: Any, config: Any) -> ModelInfo:
    """Reads Triton's ``ModelMetadataResponse`` and ``ModelConfig`` messages."""
    version = max(metadata.versions, key=int, default="1")
    weights = config.parameters["model_id"].string_value if "model_id" in config.parameters else ""
    return ModelInfo(
        name=metadata.name,
        model_id=ModelId(weights or metadata.name, version),
        max_batch_size=config.max_batch_size,
        inputs={tensor.name: Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in metadata.inputs},
        outputs={tensor.name: Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in metadata.outputs},
    )


def detector_input_hw(model: ModelInfo) -> tuple[int, int]:
    """Checks a detector; returns the height and width that it wants.

    Raises:
        ModelContractError: names model, tensor, what was expected and what was found.
    """
    _check(model, DETECTOR_INPUT, DETECTOR_OUTPUTS)
    _, height, width, _ = model.inputs[DETECTOR_INPUT.name].shape
    if height < 1 or width < 1:
        raise _misfit(model, "input", DETECTOR_INPUT.name, "fixed height and width", model.inputs[DETECTOR_INPUT.name])
    return height, width


def embedding_dimension(model: ModelInfo) -> int:
    """Checks a Re-ID model; returns the number of values in its embeddings.

    Raises:
        ModelContractError: names model, tensor, what was expected and what was found.
    """
    _check(model, REID_INPUT, REID_OUTPUTS)
    embeddings = model.outputs[REID_OUTPUTS[0].name]
    if embeddings.shape[1] < 1:
        raise _misfit(model, "output", embeddings.name, "a fixed number of values", embeddings)
    return embeddings.shape[1]


def _check(model: ModelInfo, wanted_input: Tensor, wanted_outputs: tuple[Tensor, ...]) -> None:
    _check_tensor(model, "input", wanted_input, model.inputs)
    for wanted in wanted_outputs:
        _check_tensor(model, "output", wanted, model.outputs)
    surplus = model.inputs.keys() - {wanted_input.name}
    if surplus:
        raise ModelContractError(f"model {model.name!r}: unexpected input {sorted(surplus)[0]!r}")
    if model.max_batch_size < 1:
        raise ModelContractError(f"model {model.name!r}: expected max_batch_size of at least 1, found 0")


def _check_tensor(model: ModelInfo, kind: str, wanted: Tensor, found: dict[str, Tensor]) -> None:
    tensor = found.get(wanted.name)
    if tensor is None or not wanted.fits(tensor):
        names = ", ".join(map(repr, found)) or "none"
        raise _misfit(model, kind, wanted.name, wanted, tensor or f"no such {kind}; it has {names}")


def _misfit(model: ModelInfo, kind: str, name: str, expected: object, found: object) -> ModelContractError:
    return ModelContractError(f"model {model.name!r}, {kind} {name!r}: expected {expected}, found {found}")
