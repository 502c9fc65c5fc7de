import torch

from demo.training.detector import DetectorPlan, load_detector, train
from tests.demo.training.photos import write_photos


def test_a_training_leaves_weights_that_load(tmp_path):
    plan = DetectorPlan(steps=1, size_hw=(128, 128), batch=1, simulated_share=0.0, painters=0)
    out = tmp_path / "detector.safetensors"
    train(plan, write_photos(tmp_path / "data"), out)
    model = load_detector(out, height=128, width=128)
    with torch.inference_mode():
        found = model([torch.zeros(3, 128, 128)])[0]
    assert set(found) == {"boxes", "labels", "scores"}
