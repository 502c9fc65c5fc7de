"""What a model computes in: a property of the ONNX file, since TensorRT 11 builds what the file says."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """What most of a model's nodes compute in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    """Its graph holds scales, as QuantizeLinear and DequantizeLinear."""


LEAST_FRAMES = 16
"""Of a video, that a detector's scales for int8 are measured on."""
LEAST_CROPS = 32
"""Of people, that scales for int8 are measured on."""
