from pathlib import Path

import numpy as np
import pytest
import torch

from export.architectures import build_embedder
from export.reid import CropEmbedder
from export.weights import load_weights
from tests.export.conftest import MODELS, open_session

pytestmark = pytest.mark.timeout(400)
"""Tracing the network takes a while on a busy machine."""


@pytest.mark.parametrize("count", [1, 5])
def test_onnx_embeds_as_torch_does(reid_onnx: Path, count: int) -> None:
    network = build_embedder("lite0_bands")
    load_weights(network, MODELS / "reid.safetensors")
    crops = np.random.default_rng(count).integers(0, 256, (count, 256, 128, 3), np.uint8)
    (embeddings,) = open_session(reid_onnx).run(["embeddings"], {"crops": crops})
    with torch.inference_mode():
        expected = CropEmbedder(network)(torch.from_numpy(crops)).numpy()
    assert embeddings.shape == (count, 256)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
