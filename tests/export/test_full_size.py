"""Parity at the sizes that are served, of all architectures in both precisions: minutes each, so deselected by default.

``python -m pytest -m full_size -s`` runs it and prints the largest differences.

Only the demo's detector is trained here. Heads that are fitted to one picture turn the same rounding of the same
features into larger differences of the score than trained ones: at 192x320, of ResNet-50's 200 detections in fp16, 36
miss their twin with a ``head_gain`` of 2.0, 8 with 0.83 and none with 0.49, always behind the same backbone. So heads
are fitted gently here, though never as gently as training does it. What is left is that of one person two anchors are
alike to within the rounding and change places, or that a box overlaps a better one by just the half at which it falls.
That is forgiven to a fitted network, and not to the trained one.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torchvision.models.detection import FasterRCNN

from export.architectures import TORCHVISION_DETECTORS, build_detector
from export.detector import export_detector
from export.precision import Precision
from export.reference import eager_people
from export.verify import SURE, TOLERANCES, Tolerance, Twins
from export.weights import load_weights
from tests.export.conftest import MODELS
from tests.export.crowds import crowd, fitted_detector, head_gain
from tests.export.test_detector import DEMO, LEAST_PEOPLE, SOURCE, Exported, found_by

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(3600)]

GENTLE = 1.0
"""Ridge at which a fitted head's gain is nearest to a trained one's and it is still sure of the people."""
SAME_PERSON = Tolerance(iou=0.45, score=1.0, share=1.0, cosine=1.0)
"""What another anchor of one person is within, and a better box that suppresses this one or just does not (0.5)."""
EXCHANGED = 0.05
"""Of a fitted network's detections in fp16, so many may be another anchor's."""
SIZES = {DEMO: (384, 672), **dict.fromkeys(TORCHVISION_DETECTORS, (768, 1344))}
BATCHES = (1, 2, 3)


def built(architecture: str, height: int, width: int) -> tuple[FasterRCNN, np.ndarray]:
    """Torchvision's own numbers of proposals and detections, a crowd, and the place without it."""
    scene = crowd(0, height, width)
    pictures = np.stack([scene.picture, scene.empty])
    if architecture != DEMO:
        return fitted_detector(architecture, scene, ridge=GENTLE), pictures
    return trained(height, width), pictures


def trained(height: int, width: int) -> FasterRCNN:
    model = build_detector(DEMO, height=height, width=width)
    load_weights(model, MODELS / "detector.safetensors")
    return model.eval()


@pytest.fixture(scope="module")
def trained_gain() -> float:
    height, width = SIZES[DEMO]
    return head_gain(trained(height, width), crowd(0, height, width).picture)


@pytest.fixture(scope="module", params=SIZES)
def case(request, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.set_num_threads(1)
    model, pictures = built(request.param, *SIZES[request.param])
    rows = model.roi_heads.detections_per_img
    people = [eager_people(model, picture, rows) for picture in pictures]
    return Exported(request.param, model, tmp_path_factory.mktemp("case"), pictures, people)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_the_people_are_those_that_torchvision_finds(case: Exported, precision: Precision, trained_gain: float) -> None:
    assert (case.people[0].scores > SURE).sum() >= LEAST_PEOPLE
    path = case.path / f"{precision}.onnx"
    height, width = case.pictures.shape[1:3]
    source = dataclasses.replace(SOURCE, precision=precision)
    export_detector(case.model, path, height=height, width=width, source=source)
    tolerance = TOLERANCES[precision]
    twins, neighbours = Twins(tolerance), Twins(SAME_PERSON)
    for batch in BATCHES:
        chosen = [(batch + row) % len(case.pictures) for row in range(batch)]
        for index, found in zip(chosen, found_by(path, case.pictures[chosen]), strict=True):
            for one, other in ((case.people[index], found), (found, case.people[index])):
                twins.compare(one, other)
                neighbours.compare(one, other)
    parity = twins.parity(sum(BATCHES), 0, 1.0)
    found_nobody = neighbours.parity(sum(BATCHES), 0, 1.0)
    figures = {
        "model": case.architecture,
        "size": [height, width],
        "precision": precision,
        "head_gain": round(head_gain(case.model, case.pictures[0]), 2),
        "without_a_neighbour": found_nobody.missing,
        "sure_without_a_neighbour": found_nobody.sure_missing,
        **dataclasses.asdict(parity),
    }
    print(json.dumps(figures))
    assert figures["head_gain"] >= round(trained_gain, 2)
    if case.is_trained or precision is Precision.FP32:
        assert parity.misses(tolerance) == []
    assert parity.missing <= EXCHANGED * parity.people
    assert found_nobody.missing <= (1 - tolerance.share) * parity.people
    assert found_nobody.sure_missing == 0
