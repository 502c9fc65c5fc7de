"""A Re-ID network as one graph: crops as bytes in, embeddings of length 1 out.

In half precision the network computes in fp16 between two islands of fp32: the scaling of bytes, and the length of the
features, since a sum of 1280 squares overflows fp16. ONNX's ``LayerNormalization`` takes mean and variance in fp32 in
either case (``stash_type``).
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.onnx_file import ModelSource, OnnxInterface, save_onnx
from export.precision import Precision

CROP_HW = (256, 128)
INTERFACE = OnnxInterface(inputs=("crops",), outputs=("embeddings",))


class CropEmbedder(nn.Module):
    """``crops`` UINT8 [M, 256, 128, 3] RGB -> ``embeddings`` FP32 [M, D] of Euclidean length 1."""

    def __init__(self, network: nn.Module, precision: Precision = Precision.FP32) -> None:
        super().__init__()
        self.dtype = torch.float16 if precision is Precision.FP16 else torch.float32
        self.network = copy.deepcopy(network).half().eval() if precision is Precision.FP16 else network.eval()

    def forward(self, crops: Tensor) -> Tensor:
        """UINT8 [M, 256, 128, 3] -> FP32 [M, D]."""
        pixels = crops.permute(0, 3, 1, 2).float() * (1.0 / 255.0)
        return functional.normalize(self.network(pixels.to(self.dtype)).float(), dim=1)


def export_reid(network: nn.Module, path: Path, *, source: ModelSource) -> None:
    """Writes an embedder of ``export.embedders`` as ONNX in ``source.precision``; the number of crops stays dynamic."""
    example = torch.zeros(2, *CROP_HW, 3, dtype=torch.uint8)
    save_onnx(CropEmbedder(network, source.precision), example, path, INTERFACE, source)
