"""Parity: whatever a running server answers, held against the same weights in eager PyTorch on the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from torchvision.ops import box_iou

from export.config import ExportConfig, ToleranceConfig, VerifyConfig
from export.precision import Precision
from export.reference import Found, Reference, eager_embeddings, eager_people, load_reference
from export.served import Float32, ServedModel, Server, UInt8
from export.serving import CROP_HW, DETECTOR, REID

LOWEST_SCORE = 0.05
"""Below it torchvision drops a detection."""
SURE = 0.5
"""Everyone of this score must be found, whatever the precision; the crops for Re-ID are of these."""
SUFFIXES = (".jpg", ".jpeg", ".png")


class ParityError(ValueError):
    """Nothing could be compared."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an answer may be from the reference's."""

    iou: float
    score: float
    share: float
    """Of all detections above ``LOWEST_SCORE``, how many need a twin; of those above ``SURE`` all do."""
    cosine: float


FIELDS = (("iou", "score", "share"), ("cosine",))
"""Of a tolerance: those for the detector, those for the embedder."""
TOLERANCES: Mapping[Precision, Tolerance] = MappingProxyType(
    {
        Precision.FP32: Tolerance(iou=0.99, score=1e-3, share=1.0, cosine=0.9999),
        Precision.FP16: Tolerance(iou=0.95, score=1e-2, share=0.99, cosine=0.999),
    }
)


@dataclass(frozen=True, slots=True)
class Served:
    """Both models of a server that is held against the reference."""

    detector: ServedModel
    embedder: ServedModel

    def others(self, reference: Reference) -> list[str]:
        """A sentence for each that calls itself something else than the reference is."""
        pairs = zip((self.detector, self.embedder), reference.model_ids, strict=True)
        return [
            f"{model.name} version {model.version} is {model.model_id}, the configuration's weights are {wanted}"
            for model, wanted in pairs
            if model.model_id != wanted
        ]


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared, and the largest differences."""

    images: int
    people: int
    """Detections of either side above ``LOWEST_SCORE``."""
    missing: int
    """Those without a twin on the other side."""
    sure_missing: int
    """Of ``missing``, those above ``SURE``."""
    lowest_iou: float
    """Among twins."""
    largest_score_difference: float
    crops: int
    lowest_cosine: float

    def misses(self, tolerance: Tolerance) -> list[str]:
        """What is not as it should be, a sentence each."""
        share = 1 - self.missing / self.people
        found = [
            (self.sure_missing > 0, f"{self.sure_missing} of the detections above {SURE} have no twin"),
            (
                share < tolerance.share,
                f"{share:.2%} of {self.people} have a twin, not {tolerance.share:.0%}",
            ),
            (self.lowest_cosine < tolerance.cosine, f"cosine {self.lowest_cosine:.6f} is below {tolerance.cosine}"),
        ]
        return [sentence for is_missed, sentence in found if is_missed]

    def table(self, served: Served, tolerance: Tolerance) -> str:
        """The largest differences beside what is allowed, for people."""
        rows = [
            ("", "found", "allowed"),
            ("detections without a twin", f"{self.missing} of {self.people}", f"{1 - tolerance.share:.0%}"),
            (f"of those with a score above {SURE}", f"{self.sure_missing}", "0"),
            ("lowest IoU of twins", f"{self.lowest_iou:.5f}", f"{tolerance.iou}"),
            ("largest score difference", f"{self.largest_score_difference:.6f}", f"{tolerance.score}"),
            ("lowest cosine of embeddings", f"{self.lowest_cosine:.6f}", f"{tolerance.cosine}"),
        ]
        models = [
            f"{model.name} version {model.version}: {model.model_id}, {model.precision}"
            for model in (served.detector, served.embedder)
        ]
        lines = [f"{what:<34}{found:>14}{allowed:>10}" for what, found, allowed in rows]
        return "\n".join([*models, f"{self.images} images, {self.crops} crops", *lines])


def verify_served(
    config: ExportConfig,
    server: Server,
    chosen: VerifyConfig,
    say: Callable[[str], None],
    names: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Says the largest differences; raises ``ParityError`` where one is too large, ``ServerError``, ``OSError``.

    ``names`` says which of the models are asked for under another name (``export.trial``).
    """
    served = describe(server, names)
    tolerance = tolerance_for(served, chosen.tolerance)
    wanted = (config.detector.height, config.detector.width)
    if served.detector.input_shape[:2] != wanted:
        raise ParityError(f"{DETECTOR} takes {served.detector.input_shape[:2]} pixels, the configuration says {wanted}")
    images = read_images(chosen.images, chosen.limit)
    reference = load_reference(config)
    parity = verify(server, served, reference, images, tolerance)
    say(parity.table(served, tolerance))
    misses = parity.misses(tolerance)
    if misses:
        raise ParityError("; ".join([*misses, *served.others(reference)]))


def describe(server: Server, names: Mapping[str, str] = MappingProxyType({})) -> Served:
    """What ``server`` serves; raises ``ServerError``, and ``ParityError`` for models that miss the tensor contract."""
    served = Served(*(server.describe(names.get(name, name)) for name in (DETECTOR, REID)))
    match served.detector:
        case ServedModel(
            input_name="images", input_shape=(_, _, 3), outputs={"boxes": (boxes, 4), "scores": (rows,)}
        ) if boxes == rows > 0:
            pass
        case model:
            raise ParityError(f"{model}: no detector of the tensor contract")
    match served.embedder:
        case ServedModel(input_name="crops", input_shape=(*size, 3), outputs={"embeddings": (values,)}) if (
            tuple(size) == CROP_HW and values > 0
        ):
            pass
        case model:
            raise ParityError(f"{model}: no embedder of the tensor contract")
    return served


def tolerance_for(served: Served, given: ToleranceConfig) -> Tolerance:
    """What the precision of each model allows, unless ``given``; raises ``ParityError`` where neither says it."""
    chosen = {name: value for name, value in given if value is not None}
    defaults = [TOLERANCES.get(model.precision) for model in (served.detector, served.embedder)]
    for model, own, names in zip((served.detector, served.embedder), defaults, FIELDS, strict=True):
        if own is None and not chosen.keys() >= set(names):
            raise ParityError(f"{model.name} computes in {model.precision}: give verify.tolerance {', '.join(names)}")
    detector, embedder = (own or TOLERANCES[Precision.FP16] for own in defaults)
    return replace(detector, **{"cosine": embedder.cosine, **chosen})


def verify(
    server: Server, served: Served, reference: Reference, images: Sequence[UInt8], tolerance: Tolerance
) -> Parity:
    """Sends images [h, w, 3] RGB, and the crops of the people in them, in batches of every warmed-up size in turn.

    Raises ``ServerError``, and ``ParityError`` where the reference is sure of nobody: parity would prove nothing.
    """
    detector, embedder = served.detector, served.embedder
    height, width, _ = detector.input_shape
    frames = np.stack([letterbox(image, (height, width)) for image in images])
    expected = [eager_people(reference.detector, frame, detector.outputs["scores"][0]) for frame in frames]
    crops = _crops(frames, expected)
    answers = _all_rows(server, detector, frames)
    twins = Twins(tolerance)
    for people, boxes, scores in zip(expected, answers["boxes"], answers["scores"], strict=True):
        found = Found(boxes[scores > 0], scores[scores > 0])
        twins.compare(people, found)
        twins.compare(found, people)
    embeddings = _all_rows(server, embedder, crops)["embeddings"]
    wanted = eager_embeddings(reference.embedder, crops)
    if embeddings.shape != wanted.shape:
        raise ParityError(f"{embedder.name}: {embeddings.shape[1]} values an embedding, the weights' {wanted.shape[1]}")
    return twins.parity(len(frames), len(crops), float((embeddings * wanted).sum(axis=1).min()))


def read_images(folder: Path, limit: int | None = None) -> list[UInt8]:
    """The first ``limit`` pictures of a folder by name, RGB [h, w, 3]; raises ``ParityError`` if none can be read."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        raise ParityError(f"{folder}: no {', '.join(SUFFIXES)} there")
    return [_read_image(path) for path in paths]


def letterbox(image: UInt8, size_hw: tuple[int, int]) -> UInt8:
    """Scales an image to fit ``size_hw`` and pads it at the bottom and right, as the tensor contract has it."""
    scale = min(size_hw[0] / image.shape[0], size_hw[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    frame = np.zeros((*size_hw, 3), np.uint8)
    frame[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return frame


class Twins:
    """Counts detections of one side that have a twin on the other."""

    def __init__(self, tolerance: Tolerance) -> None:
        """``tolerance`` says how alike twins are."""
        self._tolerance = tolerance
        self._people = self._missing = self._sure_missing = 0
        self._lowest_iou, self._largest_score_difference = 1.0, 0.0

    def compare(self, one: Found, other: Found) -> None:
        """Looks for a twin of everyone in ``one``; call it both ways round."""
        clear = one.scores > LOWEST_SCORE + self._tolerance.score
        boxes, scores = one.boxes[clear], one.scores[clear]
        self._people += len(scores)
        iou = box_iou(torch.from_numpy(boxes), torch.from_numpy(other.boxes)).numpy()
        difference = np.abs(scores[:, None] - other.scores[None])
        alike = (iou > self._tolerance.iou) & (difference < self._tolerance.score)
        has_twin = alike.any(axis=1)
        self._missing += int((~has_twin).sum())
        self._sure_missing += int((~has_twin & (scores > SURE)).sum())
        if has_twin.any():
            best = np.where(alike, iou, -1).argmax(axis=1)[has_twin]
            self._lowest_iou = min(self._lowest_iou, float(iou[has_twin, best].min()))
            largest = float(difference[has_twin, best].max())
            self._largest_score_difference = max(self._largest_score_difference, largest)

    def parity(self, images: int, crops: int, lowest_cosine: float) -> Parity:
        """What was counted so far."""
        return Parity(
            images,
            self._people,
            self._missing,
            self._sure_missing,
            self._lowest_iou,
            self._largest_score_difference,
            crops,
            lowest_cosine,
        )


def _read_image(path: Path) -> UInt8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ParityError(f"{path}: not a picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _crops(frames: UInt8, people: Sequence[Found]) -> UInt8:
    """Everyone above ``SURE``, [M, 256, 128, 3]."""
    height, width = CROP_HW
    crops = []
    for frame, found in zip(frames, people, strict=True):
        for left, top, right, bottom in found.boxes[found.scores > SURE].astype(int):
            pixels = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
            crops.append(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))
    if not crops:
        raise ParityError(f"the reference is sure of nobody in {len(frames)} images: parity would prove nothing")
    return np.stack(crops).astype(np.uint8)


def _all_rows(server: Server, model: ServedModel, rows: UInt8) -> dict[str, Float32]:
    parts = [server.infer(model, batch) for batch in _batches(rows, model.batches)]
    return {name: np.concatenate([part[name] for part in parts]) for name in model.outputs}


def _batches(rows: UInt8, sizes: tuple[int, ...]) -> Iterator[UInt8]:
    start = 0
    for size in cycle(sizes):
        if start >= len(rows):
            return
        yield rows[start : start + size]
        start += size
