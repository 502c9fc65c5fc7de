"""A Re-ID network as one graph: crops as bytes in, embeddings of length 1 out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.onnx_file import ModelSource, OnnxInterface, save_onnx

CROP_HW = (256, 128)
INTERFACE = OnnxInterface(inputs=("crops",), outputs=("embeddings",))


class CropEmbedder(nn.Module):
    """``crops`` UINT8 [M, 256, 128, 3] RGB -> ``embeddings`` FP32 [M, D] of Euclidean length 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, crops: Tensor) -> Tensor:
        """UINT8 [M, 256, 128, 3] -> FP32 [M, D]."""
        features = self.network(crops.permute(0, 3, 1, 2).float() * (1.0 / 255.0))
        return functional.normalize(features, dim=1)


def export_reid(network: nn.Module, path: Path, *, source: ModelSource) -> None:
    """Writes an embedder of ``export.architectures`` as ONNX; the number of crops stays dynamic."""
    example = torch.zeros(2, *CROP_HW, 3, dtype=torch.uint8)
    save_onnx(CropEmbedder(network), example, path, INTERFACE, source)
