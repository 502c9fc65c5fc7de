"""Detection files in all the forms that people have them in, and in those that they should not have."""

from __future__ import annotations

import io

import numpy as np
import pytest

from orchestrator.errors import DetectionFileError
from orchestrator.recorded.detections import find_file, read_file


def written(folder, text, name="c01.txt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1,-1,10,20,30,40,0.9,-1,-1,-1\n2,-1,12,20,30,40,-1,-1,-1,-1\n",
        "1 -1 1.0e+01 20 30 40 0.9 -1 -1 -1\n\n2 -1 12 20 30 40\n",
        "\ufeffframe,id,left,top,width,height,score\r\n1,3,10,20,30,40,0.9,\r\n2,3,12,20,30,40,1\r\n",
        "2, 7, 12, 20, 30, 40, 1\n1,\t9223372036854775807, 10, 20, 30, 40, 0.9\r\n",
    ],
)
def test_commas_spaces_missing_scores_and_lines_out_of_order_read_alike(tmp_path, text):
    found = read_file(written(tmp_path, text))
    assert found.frames.tolist() == [1, 2]
    assert found.boxes.tolist() == [[10, 20, 40, 60], [12, 20, 42, 60]]
    assert found.scores.tolist() == [0.9, 1.0]
    assert found.embeddings.shape == (2, 0)
    assert found.extent_wh == (42, 60)


def test_what_cannot_be_a_person_is_left_out_and_told(tmp_path, caplog):
    lines = ["1,-1,10,20,30,40,0.5", "1,-1,nan,20,30,40,0.5", "1,-1,10,20,0,40,0.5", "1,-1,10,20,30,inf,0.5"]
    lines += ["1,-1,10,20,30,40,0.5", "1,-1,90,20,30,40,7"]
    found = read_file(written(tmp_path, "\n".join(lines)))
    assert found.boxes[:, 0].tolist() == [10, 90]
    assert found.scores.tolist() == [0.5, 1.0]
    assert "c01.txt" in caplog.text
    assert "lines 2, 3, 4" in caplog.text
    assert "lines 6" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,-1,10,20,30,40\n1,-1,10\n", ":2: 3 columns"),
        ("1,,10,20,30,40,0.9\n", ":1: could not convert string to float: ''"),
        ("1;-1;10;20;30;40\n1;-1;10;20;30;40\n", ":2: 1 columns"),
        ("1,-1,10,20,30,40\nframe,id,left,top,width,height\n", ":2: could not convert"),
        ("1,-1,10,20,30,forty\n", ":1: could not convert string to float: 'forty'"),
        ("9223372036854775807,-1,10,20,30,40\n", ":1: 9.22337e\\+18 is no frame number"),
        ("-3,-1,10,20,30,40\n", ":1: -3 is no frame number"),
        ("1.5,-1,10,20,30,40\n", ":1: 1.5 is no frame number"),
        ("nan,-1,10,20,30,40\n", ":1: nan is no frame number"),
    ],
)
def test_a_line_that_is_no_detection_is_named(tmp_path, text, words):
    with pytest.raises(DetectionFileError, match=f"c01.txt{words}"):
        read_file(written(tmp_path, text))


def test_an_empty_file_is_a_camera_that_saw_nobody(tmp_path):
    assert len(read_file(written(tmp_path, "\n"))) == 0


def test_embeddings_stay_with_their_lines_and_have_length_1(tmp_path):
    path = written(tmp_path, "2,-1,1,1,5,5\n1,-1,2,2,5,5\n1,-1,3,3,nan,5\n1,-1,4,4,5,5\n")
    np.save(path.with_suffix(".npy"), np.array([[2.0, 0], [0, 3], [1, 1], [np.nan, 1]]))
    found = read_file(path)
    assert found.boxes[:, 0].tolist() == [2, 4, 1]
    assert found.embeddings.tolist() == [[0, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize("shape", [(3, 4), (2,), (0, 4)])
def test_embeddings_that_do_not_fit_the_lines_are_refused(tmp_path, shape):
    path = written(tmp_path, "1,-1,1,1,5,5\n2,-1,1,1,5,5\n")
    np.save(path.with_suffix(".npy"), np.zeros(shape, np.float32))
    with pytest.raises(DetectionFileError, match=r"c01.npy: float32 .* one row a line"):
        read_file(path)


@pytest.mark.parametrize("name", ["cam1.txt", "DET_Cam1.txt", "Cam1/det/det.txt", "cam1/det.txt"])
def test_where_files_are_looked_for(tmp_path, name):
    path = written(tmp_path, "", name)
    assert find_file(tmp_path, "cam1") == path
    with pytest.raises(DetectionFileError, match="no detections of camera cam2"):
        find_file(tmp_path, "cam2")


def test_mot_challenge_says_size_and_rate(tmp_path):
    path = written(tmp_path, "1,-1,1,1,5,5\n", "c01/det/det.txt")
    (tmp_path / "c01" / "seqinfo.ini").write_text("[Sequence]\nimWidth=1920\nimHeight=1080\nframeRate=25\n")
    found = read_file(path)
    assert (found.size_wh, found.rate) == ((1920, 1080), 25.0)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**64, 10**30])
def test_ids_may_be_any_number(tmp_path, number):
    path = tmp_path / "a.txt"
    path.write_text(f"1,{number},10,20,30,40,0.5\n")
    assert read_file(path).boxes.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize("box", ["1e300,5,50,50", "5,5,1e19,50", "-1e12,5,50,50", "5,5,50,2e6"])
def test_a_box_that_reaches_beyond_every_picture_is_left_out(tmp_path, caplog, box):
    path = tmp_path / "a.txt"
    path.write_text(f"1,-1,10,20,30,40,0.5\n2,-1,{box},0.5\n")
    found = read_file(path)
    assert (len(found), found.extent_wh) == (1, (40, 60))
    assert "reaches beyond 1e+06 px (lines 2)" in caplog.text


def archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, looks=np.ones((1, 4)))
    return buffer.getvalue()


def array(header: tuple[int, int] = (1, 4), **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((1, 4), **options))
    return buffer.getvalue().replace(b"(1, 4)", str(header).encode())[: 128 + 32]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive(), "an archive of arrays"),
        (b"PK\x03\x04 nonsense", "cannot be read: File is not a zip file"),
        (array((9, 9**18)), "cannot be read: "),
        (array()[:100], "cannot be read: "),
        (array(dtype=object), "cannot be read: Object arrays"),
        (array(dtype="U1"), "not numbers"),
        (array(dtype=bool), "not numbers"),
        (b"", "cannot be read: "),
        (b"nonsense", "cannot be read: "),
    ],
)
def test_embeddings_that_are_no_array_of_numbers_are_refused(tmp_path, content, words):
    path = tmp_path / "a.txt"
    path.write_text("1,-1,10,20,30,40,0.5\n")
    path.with_suffix(".npy").write_bytes(content)
    with pytest.raises(DetectionFileError, match=rf"a\.npy: .*{words}"):
        read_file(path)


def test_embeddings_as_large_as_numbers_go_have_length_1(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1,-1,10,20,30,40,0.5\n" * 1)
    np.save(path.with_suffix(".npy"), np.array([[1e300, 0, -1e300, 0]]))
    assert read_file(path).embeddings[0] == pytest.approx([0.5**0.5, 0, -(0.5**0.5), 0])
