import itertools
from dataclasses import replace

import pytest
import torch

from demo.training import detector
from demo.training.checkpoint import CheckpointError, save_weights
from demo.training.detector import ARCHITECTURE, DetectorPlan, load_detector, train
from export.architectures import build_detector
from tests.demo.training.photos import write_photos


def dying(learn, *, at):
    """``learn``, in whose call number ``at`` the training ends as if it had been killed."""
    calls = itertools.count(1)

    def learn_or_die(*arguments):
        if next(calls) == at:
            raise KeyboardInterrupt
        return learn(*arguments)

    return learn_or_die


def test_a_killed_training_goes_on_to_the_weights_of_an_unbroken_one(tmp_path, monkeypatch):
    plan = DetectorPlan(steps=3, size_hw=(128, 128), batch=1, simulated_share=0.5, painters=0, chapter=2)
    data, start = write_photos(tmp_path / "data"), tmp_path / "start.safetensors"
    save_weights(build_detector(ARCHITECTURE), start)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(plan, data, whole, start)
    with monkeypatch.context() as patch:
        patch.setattr(detector, "_step", dying(detector._step, at=3))
        with pytest.raises(KeyboardInterrupt):
            train(plan, data, broken, start)
    assert broken.read_bytes() != whole.read_bytes()
    with pytest.raises(CheckpointError, match=r"broken\.checkpoint is of a training with learning_rate 0\.0005, not 1"):
        train(replace(plan, learning_rate=1.0), data, broken, start)
    train(plan, data, broken, start)
    assert broken.read_bytes() == whole.read_bytes()
    assert not broken.with_suffix(".checkpoint").exists()
    model = load_detector(broken, height=128, width=128)
    with torch.inference_mode():
        found = model([torch.zeros(3, 128, 128)])[0]
    assert set(found) == {"boxes", "labels", "scores"}


def test_a_damaged_checkpoint_is_refused_and_a_fresh_start_needs_none(tmp_path):
    plan = DetectorPlan(steps=1, size_hw=(128, 128), batch=1, simulated_share=0.0, painters=0)
    data, start, out = write_photos(tmp_path / "data"), tmp_path / "start.safetensors", tmp_path / "out.safetensors"
    save_weights(build_detector(ARCHITECTURE), start)
    out.with_suffix(".checkpoint").write_bytes(b"half of one")
    with pytest.raises(CheckpointError, match=r"out\.checkpoint is damaged: begin anew with --fresh"):
        train(plan, data, out, start)
    train(plan, data, out, start, fresh=True)
    assert out.exists()
