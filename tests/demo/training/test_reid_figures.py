import numpy as np

from demo.training.reid_figures import histogram


def person(top, bottom):
    crop = np.empty((256, 128, 3), np.uint8)
    crop[:128], crop[128:] = top, bottom
    return crop


def test_the_histogram_knows_colours_and_where_they_are():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 12, (2, 256, 128, 3), np.uint8)
    crops = np.stack(
        [
            person((200, 30, 30), (30, 30, 200)) + noise[0],
            person((200, 30, 30), (30, 30, 200)) + noise[1],
            person((30, 30, 200), (200, 30, 30)),
        ]
    )
    rows = histogram(crops)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > 0.9
    assert rows[0] @ rows[2] < 0.1
