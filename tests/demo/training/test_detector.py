import torch

from demo.training.checkpoint import save_weights
from demo.training.detector import ARCHITECTURE, DetectorPlan, load_detector, train
from export.architectures import build_detector
from tests.demo.training.photos import write_photos


def test_a_training_leaves_weights_that_load(tmp_path):
    plan = DetectorPlan(steps=1, size_hw=(128, 128), batch=1, simulated_share=0.0, painters=0)
    start, out = tmp_path / "start.safetensors", tmp_path / "detector.safetensors"
    save_weights(build_detector(ARCHITECTURE), start)
    train(plan, write_photos(tmp_path / "data"), out, start)
    model = load_detector(out, height=128, width=128)
    with torch.inference_mode():
        found = model([torch.zeros(3, 128, 128)])[0]
    assert set(found) == {"boxes", "labels", "scores"}
