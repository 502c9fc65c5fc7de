import pytest
import torch

from demo.training import reid
from demo.training.checkpoint import CheckpointError
from demo.training.crops import simulated_crops
from demo.training.reid import ReidPlan, train
from export.architectures import build_embedder
from export.weights import load_weights
from tests.demo.training.photos import write_photos
from tests.demo.training.test_detector import dying


def test_a_killed_training_goes_on_to_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    plan = ReidPlan(steps=3, simulated_crops=64, places=1, crops=2, painters=0, chapter=2)
    rendered = list(simulated_crops(plan.seed, plan.simulated_crops))
    monkeypatch.setattr(reid, "simulated_crops", lambda seed, count: iter(rendered[:count]))
    data, whole, broken = write_photos(tmp_path / "data"), tmp_path / "whole.safetensors", tmp_path / "b.safetensors"
    train(plan, data, whole)
    with monkeypatch.context() as patch:
        patch.setattr(reid, "_step", dying(reid._step, at=3))
        with pytest.raises(KeyboardInterrupt):
            train(plan, data, broken)
    with pytest.raises(CheckpointError, match="simulated_crops 64, not 56"):
        train(ReidPlan(steps=3, simulated_crops=56, places=1, crops=2, painters=0, chapter=2), data, broken)
    train(plan, data, broken)
    assert broken.read_bytes() == whole.read_bytes()
    network = build_embedder("lite0_bands")
    load_weights(network, broken)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(2, 3, 256, 128)).shape == (2, 256)
