import resource

import numpy as np
import pytest

from demo.site.video import VideoWriter


@pytest.fixture
def _little_room():
    """Files may grow to 100 kB here."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_little_room")
def test_a_disk_that_is_full_is_named_and_nothing_is_left_on_it(tmp_path):
    rng = np.random.default_rng(1)

    def fill() -> None:
        with VideoWriter(tmp_path / "video.mp4", 320, 192, 12) as video:
            for _ in range(60):
                video.write(rng.integers(0, 256, (192, 320, 3), np.uint8))

    with pytest.raises(OSError, match="video"):
        fill()
    assert not list(tmp_path.iterdir())
