"""The command line: what a user sees of a mistake."""

from pathlib import Path

import pytest

from export.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reid", "--checkpoint", "absent.pt"], "No such file or directory: 'absent.pt'"),
        (["reid", "--checkpoint", "bad.pt"], "bad.pt: not a readable checkpoint"),
        (["reid", "--checkpoint", "."], "Is a directory"),
        (["quantise", "absent.onnx", "--video", "v.mp4", "--detector", "d.onnx"], "absent.onnx: no such file"),
        (["detector", "--architecture", "yolo", "--weights", "COCO_V1"], "unknown architecture 'yolo'"),
        (["detector", "--architecture", "fasterrcnn_resnet50_fpn", "--weights", "bad.pt"], "bad.pt: not a readable"),
        (
            ["detector", "--architecture", "fasterrcnn_resnet50_fpn", "--weights", "COCO_V1", "--height", "720"],
            "multiples of 32, got 720 x 672",
        ),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.pt").write_bytes(b"PK\x03\x04 cut off")
    monkeypatch.setattr("sys.argv", ["export", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("export: ")
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pt"]
