"""A small scene with a fixed seed: what association reached when this was written, less a margin.

Measured: online and second pass 0.984 of the oracle's across-camera IDF1 (0.950) and 1.001 of its IDF1 on the map
(0.988). The margin of 0.03 is what such a figure moves by chance from seed to seed; a fall below it is a regression.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.associations import oracle, spoton
from benchmarks.accuracy.demo_site import DemoScene, drawn
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.noise import NoiseModel, fit
from demo.site.scene import Recording

MARGIN = 0.03
REACHED = {"across_idf1": 0.984, "ground_idf1": 1.0}


@pytest.fixture(scope="module")
def scene():
    return drawn(DemoScene("small", "campus", Recording(people=6, sub_videos=1)), 1)


@pytest.mark.parametrize("second_pass", [False, True])
def test_association_stays_within_the_margin_of_what_it_reached(scene, second_pass):
    best, figures = score(scene, oracle(scene)).flat(), score(scene, spoton(scene, second_pass=second_pass)).flat()
    for name, share in REACHED.items():
        assert figures[name] / best[name] > share - MARGIN, name


def test_the_noise_model_misses_and_strays_as_much_as_it_was_fitted_to(scene):
    model, again = NoiseModel.load(), fit([scene])
    assert again.found[-1][-1] == pytest.approx(model.found[-1][-1], abs=0.02)
    assert np.allclose(again.box_error[-1], model.box_error[-1], rtol=0.35)
    assert again.false_per_frame == pytest.approx(model.false_per_frame, rel=0.35)
    assert again.cosine_cameras == pytest.approx(model.cosine_cameras, abs=0.08)


def test_people_behind_a_wall_or_somebody_else_are_less_visible(scene):
    for truth in scene.boxes.values():
        assert truth.visibility.min() > 0
        assert truth.visibility.max() == 1
    everyone = np.concatenate([truth.visibility for truth in scene.boxes.values()])
    assert 0.02 < (everyone < 0.5).mean() < 0.5


def test_the_same_seed_gives_the_same_scene(scene):
    again = drawn(DemoScene("small", "campus", Recording(people=6, sub_videos=1)), 1)
    for name, file in scene.recording.files.items():
        assert np.array_equal(file.boxes, again.recording.files[name].boxes)
        assert np.array_equal(file.embeddings, again.recording.files[name].embeddings)
