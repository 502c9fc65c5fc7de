from __future__ import annotations

import shutil

import pytest

from demo.pictures import viewer


async def test_without_a_browser_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(viewer.NoPictureError, match="no Chromium"):
        await viewer.save_viewer("http://127.0.0.1:9", "a-task", tmp_path / "viewer.jpg")


@pytest.mark.browser
@pytest.mark.skipif(not any(map(shutil.which, viewer.BROWSERS)), reason="no Chromium on this machine")
async def test_a_page_that_cannot_be_reached_is_said(tmp_path):
    with pytest.raises(viewer.NoPictureError, match=r"127\.0\.0\.1:9"):
        await viewer.save_viewer("http://127.0.0.1:9", "a-task", tmp_path / "viewer.jpg")
    assert not (tmp_path / "viewer.jpg").exists()
