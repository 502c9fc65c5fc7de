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


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["detector", "--steps", "0"], "argument --steps: 0 is not between 1 and"),
        (["detector", "--rate", "nan"], "argument --rate: nan is not between"),
        (["detector", "--simulated", "1.5"], "argument --simulated: 1.5 is not between 0 and 1"),
        (["detector", "--height", "-3"], "argument --height: -3 is not between 128 and 1024"),
        (["reid", "--seed", "60002"], "argument --seed: 60002 is not between 0 and 9999"),
        (["reid", "--threads", "two"], "argument --threads: invalid whole number value: 'two'"),
        (["reid", "--out", "weights"], "argument --out: 'weights' does not name a file that ends in .safetensors"),
        (["evaluate", "--sheet", "sheet.png"], "argument --sheet: 'sheet.png' does not name a file that ends in .jpg"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error_of_its_argument(words, complaint, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["python -m demo", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["evaluate", "--data", "nowhere", "--card", "card.md"], "card.md has no place for figures"),
        (["evaluate", "--data", "nowhere", "--sheet", "/proc/nowhere/sheet.jpg"], "/proc/nowhere"),
        (["train", "reid", "--data", "nowhere", "--out", "/proc/nowhere/out.safetensors"], "/proc/nowhere"),
        (["train", "detector", "--data", "nowhere", "--out", "out.safetensors"], "nowhere/pennfudan/boxes_xyxy.json"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_any_work(words, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card.md").write_text("no place\n")
    monkeypatch.setattr(sys, "argv", ["python -m demo", *words[words[0] == "train" :]])
    with pytest.raises(SystemExit) as end:
        main()
    assert complaint in str(end.value.code)
