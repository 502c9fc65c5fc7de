from collections.abc import Iterator

import numpy as np

from demo.training.augment import flip
from demo.training.compose import Sample, clip_truth, paste_people, picture_stream
from demo.training.photos import CutOut, Photo, held_out


def test_a_fixed_fifth_is_held_out() -> None:
    names = [f"{index:03d}.jpg" for index in range(23)]
    train, test = held_out(names[::-1])
    assert test == ["000.jpg", "005.jpg", "010.jpg", "015.jpg", "020.jpg"]
    assert sorted(train + test) == names


def test_people_mostly_outside_are_no_truth_and_the_others_are_clipped() -> None:
    boxes = np.array([[-10, 10, 30, 90], [-35, 10, 5, 90], [10, 10, 12, 15]], np.float32)
    np.testing.assert_array_equal(clip_truth(boxes, (100, 100)), [[0, 10, 30, 90]])


def test_flipping_twice_gives_the_same() -> None:
    pixels = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    boxes = np.array([[0, 0, 2, 1]], np.float32)
    once, moved = flip(pixels, boxes)
    np.testing.assert_array_equal(moved, [[3, 0, 5, 1]])
    np.testing.assert_array_equal(flip(once, moved)[0], pixels)


def test_who_is_covered_is_no_truth_any_more() -> None:
    person = CutOut(np.full((200, 80, 3), 200, np.uint8), np.full((200, 80), 255, np.uint8))
    small = np.array([[45, 45, 51, 60]], np.float32)
    hidden = seen = 0
    for seed in range(40):
        result = paste_people(
            Sample(np.zeros((100, 100, 3), np.uint8), small), [person], 3, np.random.default_rng(seed)
        )
        covered = float((result.pixels[45:60, 45:51] > 0).any(axis=2).mean())
        kept = (result.boxes == small[0]).all(axis=1).any()
        assert kept == (1 - covered >= 0.25)
        hidden, seen = hidden + (not kept), seen + bool(kept)
    assert hidden
    assert seen


def test_pictures_repeat_with_the_seed_and_hold_their_truth() -> None:
    rng = np.random.default_rng(1)
    photos = [
        Photo("a", rng.integers(0, 255, (120, 160, 3), np.uint8), np.array([[40, 20, 80, 110]], np.float32)),
        Photo("b", rng.integers(0, 255, (90, 90, 3), np.uint8), np.zeros((0, 4), np.float32)),
    ]
    cut = CutOut(np.full((100, 40, 3), 90, np.uint8), np.full((100, 40), 255, np.uint8))

    def stream(rng: np.random.Generator) -> Iterator[Sample]:
        return picture_stream(lambda: photos[int(rng.integers(2))], photos[1:], [cut], (128, 192), rng)

    streams = [stream(np.random.default_rng(5)) for _ in range(2)]
    people = 0
    for _ in range(12):
        one, other = (next(stream) for stream in streams)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.pixels.shape == (128, 192, 3)
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()
        assert (one.boxes >= 0).all()
        assert (one.boxes <= [192, 128, 192, 128]).all()
        people += len(one.boxes)
    assert people > 5
