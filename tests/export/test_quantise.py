"""int8 by the user's own video: here one of simulated people, found by the demo detector."""

from itertools import islice
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from demo.site.samples import detection_samples
from export.calibration import CalibrationError, crops_from_videos, frames_of
from export.precision import LEAST_CROPS, Precision
from export.quantise import PRODUCTS, quantise
from export.quantise_detector import quantise_detector
from export.repository import precision_of, read_model
from tests.export.conftest import HEIGHT, PICTURES_SEED, WIDTH, open_session

pytestmark = pytest.mark.timeout(400)

FRAMES = 40


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "people.mp4"
    samples = islice(detection_samples(PICTURES_SEED, width=WIDTH, height=HEIGHT, frames_per_place=1), FRAMES)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for sample in samples:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(sample.rgb), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def crops(video: Path, detector_onnx: Path) -> np.ndarray:
    return crops_from_videos([video], detector_onnx, 40)


def outputs_axis(node: onnx.NodeProto) -> int:
    """Of a product's weight."""
    is_transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if node.op_type == "Conv" or is_transposed else 1


def test_frames_are_spread_over_the_video(video: Path) -> None:
    everything = list(frames_of(video, FRAMES))
    few = list(frames_of(video, 4))
    assert len(everything) == FRAMES
    assert [frame.shape for frame in few] == [(HEIGHT, WIDTH, 3)] * 4
    found = [next(at for at, frame in enumerate(everything) if np.array_equal(frame, one)) for one in few]
    assert found == [5, 15, 25, 35]


def test_crops_are_of_people(crops: np.ndarray) -> None:
    assert crops.shape[1:] == (256, 128, 3)
    assert LEAST_CROPS <= len(crops) <= 40
    assert crops.std(axis=(1, 2, 3)).min() > 5


def test_int8_answers_nearly_alike_and_says_what_it_costs(reid_onnx: Path, crops: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "reid.int8.onnx"
    cost = quantise(reid_onnx, crops, out)
    assert cost.crops == len(crops) // 4
    kept = crops[3::4]
    before, after = (open_session(path).run(["embeddings"], {"crops": kept})[0] for path in (reid_onnx, out))
    cosine = (before * after).sum(axis=1)
    assert cosine.min() == pytest.approx(cost.lowest_cosine, abs=1e-4)
    assert cosine.mean() == pytest.approx(cost.mean_cosine, abs=1e-4)
    assert 0.97 < cost.mean_cosine < 1 - 1e-5
    assert cost.ms > 0
    assert cost.int8_ms > 0
    assert [path.name for path in tmp_path.iterdir()] == ["reid.int8.onnx"]


def test_the_graph_is_as_tensorrt_asks(reid_onnx: Path, crops: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "reid.int8.onnx"
    quantise(reid_onnx, crops[:LEAST_CROPS], out)
    model = onnx.load(out)
    assert precision_of(model) is Precision.INT8
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    assert len(products) > 20
    for node in products:
        assert [made_by[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        weight = made_by[node.input[1]]
        assert values[weight.input[0]].dtype == np.int8
        assert values[weight.input[1]].size == values[weight.input[0]].shape[outputs_axis(node)]
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert values[node.input[2]].dtype == np.int8
            assert not values[node.input[2]].any()
    original, own = ({entry.key: entry.value for entry in onnx.load(path).metadata_props} for path in (reid_onnx, out))
    assert own["architecture"] == f"{original['architecture']}_int8"
    assert own["weights_digest"] != original["weights_digest"]


def test_a_detector_s_backbone_is_int8_and_finds_nearly_the_same_people(
    detector_onnx: Path, video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "detector.int8.onnx"
    cost = quantise_detector(detector_onnx, [video], FRAMES, out)
    assert cost.frames == FRAMES // 4
    assert cost.people > 4 * cost.frames
    assert 0 < cost.missing < cost.people / 4
    assert cost.sure_missing < cost.people / 20
    assert cost.ms > 0
    assert cost.int8_ms > 0
    assert [path.name for path in tmp_path.iterdir()] == ["detector.int8.onnx"]
    model = onnx.load(out)
    assert precision_of(model) is Precision.INT8
    assert read_model(out).model_id.startswith("fasterrcnn_csp_pan_int8-")
    made_by = {output: node for node in model.graph.node for output in node.output}

    def is_int8(node: onnx.NodeProto) -> bool:
        return [made_by[name].op_type for name in node.input[:2] if name in made_by] == ["DequantizeLinear"] * 2

    weights = {tensor.name for tensor in onnx.load(detector_onnx).graph.initializer}
    ours = {node.name: node for node in onnx.load(detector_onnx).graph.node if node.op_type in PRODUCTS}
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            weight = ours[node.name].input[1]
            assert is_int8(node) == (weight in weights and weight.startswith("backbone.")), weight


def test_bad_input_is_named(
    reid_onnx: Path, detector_onnx: Path, video: Path, crops: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:200])
    black = tmp_path / "black.mp4"
    with av.open(str(black), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    for message, mistake in (
        (r"broken\.mp4: not a readable video", lambda: crops_from_videos([broken], detector_onnx, 8)),
        (r"nobody is seen in .*black\.mp4", lambda: crops_from_videos([black], detector_onnx, 8)),
        (r"model\.onnx: not an exported detector", lambda: crops_from_videos([video], reid_onnx, 8)),
        (r"model\.onnx: not a Re-ID model", lambda: quantise(detector_onnx, crops, out)),
        (r"broken\.mp4: not a readable ONNX file", lambda: quantise(broken, crops, out)),
        (r"31 crops of people were found; at least 32", lambda: quantise(reid_onnx, crops[:31], out)),
        (r"model\.onnx: not a detector", lambda: quantise_detector(reid_onnx, [video], FRAMES, out)),
        (r"1 frames were read; at least 16", lambda: quantise_detector(detector_onnx, [black], FRAMES, out)),
    ):
        with pytest.raises(CalibrationError, match=message) as caught:
            mistake()
        assert "\n" not in str(caught.value)
    assert not out.exists()


def test_what_is_int8_already_is_refused(reid_onnx: Path, crops: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "reid.int8.onnx"
    quantise(reid_onnx, crops[:LEAST_CROPS], out)
    with pytest.raises(CalibrationError, match="only a model in fp32"):
        quantise(out, crops, tmp_path / "again.onnx")
