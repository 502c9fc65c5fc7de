import torch

from demo.training.reid import ReidPlan, train
from export.architectures import build_embedder
from export.weights import load_weights
from tests.demo.training.photos import write_photos


def test_a_training_leaves_weights_that_load(tmp_path):
    plan = ReidPlan(steps=1, simulated_crops=64, places=1, crops=2, painters=0)
    out = tmp_path / "reid.safetensors"
    train(plan, write_photos(tmp_path / "data"), out)
    network = build_embedder("lite0_bands")
    load_weights(network, out)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(2, 3, 256, 128)).shape == (2, 256)
