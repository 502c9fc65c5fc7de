"""Pictures of people as clients send them."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from api.looks import _decode
from api.problems import UnusableRequestError


def picture(*size):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return file.getvalue()


CASES = {
    "nothing": b"",
    "another format": b"GIF89a",
    "broken off": picture(64, 128)[:50],
    "too small": picture(4, 100),
    "too large": picture(20_000, 2_001),
}


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_pictures_that_are_refused(data):
    with pytest.raises(UnusableRequestError, match="the image"):
        _decode(data)


def test_a_picture_is_read_upright():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (64, 32)).save(file, "JPEG", exif=exif)
    assert _decode(file.getvalue()).shape == (64, 32, 3)
