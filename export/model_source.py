"""What a model was made from."""

from __future__ import annotations

from dataclasses import dataclass

from export.precision import Precision


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a model was made from; written into the ONNX file and, as ``model_id``, into the server's configuration."""

    architecture: str
    weights_digest: str
    """Hexadecimal SHA-256 of the weights; see ``digest_of``."""
    precision: Precision = Precision.FP32
    """Does not change ``model_id``: half precision answers alike."""

    @property
    def model_id(self) -> str:
        """Short name that changes with the network or its weights, and with nothing else."""
        return f"{self.architecture}-{self.weights_digest[:12]}"
