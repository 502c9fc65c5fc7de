from __future__ import annotations

import sys

import pytest

from demo.training.__main__ import main


def test_data_that_are_not_there_are_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["python -m demo", "evaluate", "--data", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as end:
        main()
    sentence = str(end.value.code)
    assert str(tmp_path / "nowhere") in sentence
    assert "\n" not in sentence
