"""A small scene with a fixed seed: what association reached when this was written, less a margin.

Measured, as shares of the oracle's: IDF1 across cameras 0.961 online and 0.986 after the second pass, on the map 0.967
and 0.998. The margin of 0.03 is what such a figure moves by chance from seed to seed; a fall below it is a regression.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.associations import Found, oracle, spoton
from benchmarks.accuracy.demo_site import DemoScene, drawn, weights
from benchmarks.accuracy.figures import score
from benchmarks.accuracy.noise import NoiseModel, fit
from demo.site.scene import Recording
from orchestrator.recorded.results import NOBODY

MARGIN = 0.03
ONLINE, SECOND_PASS = {"across_idf1": 0.961, "ground_idf1": 0.967}, {"across_idf1": 0.986, "ground_idf1": 0.998}


@pytest.fixture(scope="module")
def scene():
    return drawn(DemoScene("small", "campus", Recording(people=6, sub_videos=1)), 1)


def twice_at_once(found: Found) -> list[tuple[str, int, int]]:
    """Camera, tick and person wherever one camera shows a person twice."""
    twice = []
    for camera_id, item in found.items():
        named = item.people != NOBODY
        moments, count = np.unique(np.column_stack([item.ticks, item.people])[named], axis=0, return_counts=True)
        twice += [(camera_id, *moment) for moment in moments[count > 1].tolist()]
    return twice


@pytest.mark.parametrize(("second_pass", "reached"), [(False, ONLINE), (True, SECOND_PASS)])
def test_association_stays_within_the_margin_of_what_it_reached(scene, second_pass, reached):
    found = spoton(scene, second_pass=second_pass)
    best, figures = score(scene, oracle(scene)).flat(), score(scene, found).flat()
    assert not twice_at_once(found), "nobody has two boxes of one camera at one tick"
    for name, share in reached.items():
        assert figures[name] / best[name] > share - MARGIN, name


def test_the_noise_model_misses_and_strays_as_much_as_it_was_fitted_to(scene):
    model, again = NoiseModel.load(), fit([scene], {})
    assert again.found[-1][-1] == pytest.approx(model.found[-1][-1], abs=0.02)
    assert np.allclose(again.box_error[-1], model.box_error[-1], rtol=0.35)
    assert again.false_per_frame == pytest.approx(model.false_per_frame, rel=0.35)
    assert again.cosine_cameras == pytest.approx(model.cosine_cameras, abs=0.08)


def test_the_noise_model_is_fitted_to_the_weights_that_are_committed():
    assert NoiseModel.load().weights == weights(), "fit it anew: python -m benchmarks accuracy --fit-noise"


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
