import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torchvision.models.detection import FasterRCNN

from export.architectures import TORCHVISION_DETECTORS
from export.detector import BatchedFasterRCNN, export_detector
from export.onnx_file import ModelSource
from export.precision import Precision
from export.reference import Found, eager_people
from export.repository import precision_of
from export.verify import SURE, TOLERANCES, Tolerance, Twins
from tests.export.conftest import HEIGHT, WIDTH, open_session
from tests.export.crowds import Crowd, crowd, fitted_detector
from tests.export.tensorrt_graph import computed_in, misfits

pytestmark = pytest.mark.timeout(400)
"""Tracing the network takes a while on a busy machine."""

SOURCE = ModelSource("x", "y")
DEMO = "fasterrcnn_csp_pan"
BATCHES = range(1, 17)
FEWER_BATCHES = (1, 2, 3, 8, 16)
"""Of the ResNets, where a batch takes seconds: the graphs differ in nothing that knows the batch. And of the MobileNet
that differs from the other one in the number of its proposals alone."""
EVERY_BATCH = (DEMO, "fasterrcnn_mobilenet_v3_large_fpn")
HALVED = (DEMO, "fasterrcnn_resnet50_fpn_v2")
"""Traced a second time, which takes a while."""
LEAST_PEOPLE = 20
ROWS = {"rpn_post_nms_top_n_test": 120, "box_detections_per_img": 40}
"""Of torchvision's networks: fewer proposals than its own 1000, to save time, and fewer rows than some crowds fill."""


@dataclass(frozen=True)
class Exported:
    architecture: str
    model: FasterRCNN
    path: Path
    pictures: np.ndarray
    """UINT8 [N, H, W, 3]: crowds, and last a place without anybody."""
    people: list[Found]
    """What torchvision finds in them: the best as many as the graph has rows."""

    @property
    def rows(self) -> int:
        return self.model.roi_heads.detections_per_img

    @property
    def is_trained(self) -> bool:
        return self.architecture == DEMO


def exported(architecture: str, path: Path, pictures: np.ndarray, model: FasterRCNN) -> Exported:
    height, width = pictures.shape[1:3]
    export_detector(model, path, height=height, width=width, source=SOURCE)
    rows = model.roi_heads.detections_per_img
    return Exported(architecture, model, path, pictures, [eager_people(model, picture, rows) for picture in pictures])


@pytest.fixture(scope="module")
def crowds() -> list[Crowd]:
    return [crowd(seed, HEIGHT, WIDTH) for seed in range(3)]


@pytest.fixture(scope="module", params=[DEMO, *TORCHVISION_DETECTORS])
def case(request, detector: FasterRCNN, crowds: list[Crowd], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("case") / "model.onnx"
    pictures = [scene.picture for scene in crowds]
    if request.param == DEMO:
        return exported(request.param, path, np.stack([*pictures, np.zeros_like(pictures[0])]), detector)
    model = fitted_detector(request.param, crowds[0], **ROWS)
    return exported(request.param, path, np.stack([*pictures, crowds[0].empty]), model)


def found_by(path: Path, pictures: np.ndarray) -> list[Found]:
    boxes, scores = open_session(path).run(["boxes", "scores"], {"images": pictures})
    return [Found(one[row > 0], row[row > 0]) for one, row in zip(boxes, scores, strict=True)]


def assert_twins(expected: list[Found], found: list[Found], tolerance: Tolerance = TOLERANCES[Precision.FP32]) -> None:
    twins = Twins(tolerance)
    for one, other in zip(expected, found, strict=True):
        twins.compare(one, other)
        twins.compare(other, one)
    assert twins.parity(len(found), 0, 1.0).misses(tolerance) == []


def test_the_reference_sees_the_crowd_and_nobody_where_nobody_is(case: Exported) -> None:
    assert max((found.scores > SURE).sum() for found in case.people) >= LEAST_PEOPLE
    assert len(case.people[-1].scores) == 0


def test_every_batch_size_finds_the_people_that_torchvision_finds(case: Exported) -> None:
    session = open_session(case.path)
    for batch in BATCHES if case.architecture in EVERY_BATCH else FEWER_BATCHES:
        chosen = [(batch + row) % len(case.pictures) for row in range(batch)]
        boxes, scores = session.run(["boxes", "scores"], {"images": case.pictures[chosen]})
        assert boxes.shape == (batch, case.rows, 4)
        assert scores.shape == (batch, case.rows)
        assert (np.diff(scores, axis=1) <= 0).all()
        assert (boxes[scores == 0] == 0).all()
        assert ((boxes >= 0) & (boxes <= np.tile(case.pictures.shape[2:0:-1], 2))).all()
        found = [Found(one[row > 0], row[row > 0]) for one, row in zip(boxes, scores, strict=True)]
        assert_twins([case.people[index] for index in chosen], found)


def test_of_more_people_than_rows_the_best_are_kept(case: Exported) -> None:
    everyone = [eager_people(case.model, picture, 1000) for picture in case.pictures]
    fullest = max(range(len(everyone)), key=lambda index: len(everyone[index].scores))
    graph = BatchedFasterRCNN(case.model, *case.pictures.shape[1:3])
    rows, graph.heads.detections_per_img = case.rows, len(everyone[fullest].scores) // 2
    try:
        with torch.inference_mode():
            boxes, scores = graph(torch.from_numpy(case.pictures[fullest : fullest + 1]))
    finally:
        graph.heads.detections_per_img = rows
    assert boxes.shape == (1, len(everyone[fullest].scores) // 2, 4)
    np.testing.assert_allclose(scores[0].numpy(), everyone[fullest].scores[: boxes.shape[1]], atol=1e-3)


def test_equal_scores_fall_as_they_do_in_torchvision(case: Exported, tmp_path: Path) -> None:
    """With every score alike the first proposal wins: all depends on the order in which ties are taken."""
    layer = case.model.roi_heads.box_predictor.cls_score
    kept = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    tied = {"weight": torch.zeros_like(kept["weight"]), "bias": torch.zeros_like(kept["bias"])}
    tied["bias"][1] = len(tied["bias"]) ** 0.5
    file = onnx.load(case.path)
    for initializer in file.graph.initializer:
        scope, _, name = initializer.name.rpartition(".")
        if scope.endswith("cls_score"):
            initializer.CopyFrom(numpy_helper.from_array(tied[name].numpy(), initializer.name))
    onnx.save(file, tmp_path / "tied.onnx")
    try:
        layer.load_state_dict(tied)
        expected = [eager_people(case.model, picture, case.rows) for picture in case.pictures]
    finally:
        layer.load_state_dict(kept)
    assert len(expected[0].scores) > 10
    assert len(np.unique(expected[0].scores)) == 1
    assert_twins(expected, found_by(tmp_path / "tied.onnx", case.pictures))


def test_tensorrt_parses_every_node_and_knows_every_shape(case: Exported) -> None:
    graph = onnx.load(case.path)
    assert misfits(graph) == []
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("NonMaxSuppression") == kinds.count("ScatterND") == 2
    assert kinds.count("RoiAlign") == 1


@pytest.mark.parametrize("case", HALVED, indirect=True)
def test_in_half_precision_the_people_are_those_that_torchvision_finds(case: Exported, tmp_path: Path) -> None:
    """Outside the crowd that its heads were fitted to, a random network is torn between neighbouring boxes."""
    chosen = list(range(len(case.pictures))) if case.is_trained else [0, len(case.pictures) - 1]
    pictures, expected = case.pictures[chosen], [case.people[index] for index in chosen]
    height, width = pictures.shape[1:3]
    source = dataclasses.replace(SOURCE, precision=Precision.FP16)
    export_detector(case.model, tmp_path / "half.onnx", height=height, width=width, source=source)
    assert max((found.scores > SURE).sum() for found in expected) >= LEAST_PEOPLE
    assert_twins(expected, found_by(tmp_path / "half.onnx", pictures), TOLERANCES[Precision.FP16])
    if case.is_trained:  # PyTorch rounds after every operation, ONNX Runtime on a CPU where it likes to
        with torch.inference_mode():
            boxes, scores = BatchedFasterRCNN(case.model, height, width, Precision.FP16)(torch.from_numpy(pictures))
        rows = zip(boxes.numpy(), scores.numpy(), strict=True)
        found = [Found(one[row > 0], row[row > 0]) for one, row in rows]
        assert_twins(expected, found, TOLERANCES[Precision.FP16])
    graph = onnx.load(tmp_path / "half.onnx")
    assert misfits(graph) == []
    assert precision_of(graph) is Precision.FP16
    kinds = computed_in(graph)
    assert kinds["Conv"] == {"FLOAT16"}
    assert kinds["Gemm"] == {"FLOAT16", "FLOAT"}
    for kind in ("NonMaxSuppression", "RoiAlign", "TopK", "Exp", "Softmax", "Sigmoid"):
        assert kinds[kind] == {"FLOAT"}


def test_a_size_off_the_stride_is_refused(detector: FasterRCNN, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 32, got 190 x 320"):
        export_detector(detector, tmp_path / "m.onnx", height=190, width=320, source=SOURCE)
    assert not list(tmp_path.iterdir())
