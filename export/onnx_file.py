"""From a traced module to an ONNX file: the same bytes for the same weights, and never a half-written file."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn

from export.files import written_aside
from export.model_source import ModelSource
from export.suppression import keep_mask_to_onnx

__all__ = ["ModelSource", "OnnxInterface", "digest_of", "save_onnx"]

OPSET = 18


@dataclass(frozen=True, slots=True)
class OnnxInterface:
    """The names of a graph's tensors; the first axis of each input is the batch."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def digest_of(model: nn.Module) -> str:
    """SHA-256 over names, shapes and values of all tensors of ``model``."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_onnx(graph: nn.Module, example: Tensor, path: Path, interface: OnnxInterface, source: ModelSource) -> None:
    """Exports ``graph``, called with ``example`` (its first axis becomes dynamic), to ``path`` by an atomic rename.

    Raises ``OSError``, before anything is computed where ``path`` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as partial:
        onnx_ir.save(_traced(graph, example, interface, source), partial)


def _traced(graph: nn.Module, example: Tensor, interface: OnnxInterface, source: ModelSource) -> onnx_ir.Model:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnxscript|copyreg)\b")
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(interface.inputs),
            output_names=list(interface.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            custom_translation_table={torch.ops.spoton.keep_mask.default: keep_mask_to_onnx},
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"no graph came of {type(graph).__name__}")
    _forget_origin(program.model)
    program.model.metadata_props.update(
        architecture=source.architecture, weights_digest=source.weights_digest, precision=source.precision.value
    )
    return program.model


def _forget_origin(model: onnx_ir.Model) -> None:
    """Drops stack traces: they name the files of this machine and would make equal graphs differ."""
    model.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        values: list[Any] = [*node.outputs]
        for value in values:
            value.metadata_props.clear()
