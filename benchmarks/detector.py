"""Processor time an image of the exported detectors in ONNX Runtime beside torchvision eager, by batch size.

Each has one thread, and what counts is its processor time: on a machine with other work, threads that wait for one
another would be measured instead of the networks. The demo's detector has its own weights; torchvision's have random
ones, which propose as much as trained ones do and find nobody, so that eager is spared its last suppression over all
classes. The pictures are of simulated people. Both run in turns, and a ratio is that of one round.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torchvision.models.detection import FasterRCNN

from benchmarks.machine import look_at_machine, write_figures
from benchmarks.throughput import positive
from demo.console import Reporter
from demo.site.samples import detection_samples
from export.architectures import DETECTORS, build_detector
from export.calibration import UInt8, open_onnx
from export.detector import export_detector
from export.onnx_file import ModelSource, digest_of
from export.weights import load_weights

DEMO = "fasterrcnn_csp_pan"
DEMO_WEIGHTS = Path(__file__).resolve().parents[1] / "demo" / "models" / "detector.safetensors"
PACKAGES = ("torch", "torchvision", "onnxruntime")
CLASSES = 91
EAGER, ONNX = "torchvision eager", "ONNX Runtime"
PICTURES_SEED = 95_000

Detect = Callable[[UInt8], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One network at one batch size; milliseconds of one core an image, one value for each round."""

    network: str
    batch: int
    ms: Mapping[str, Sequence[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which networks, at which size and batch sizes, how often."""
    parser.add_argument("--networks", nargs="+", choices=DETECTORS, default=list(DETECTORS), metavar="NAME")
    parser.add_argument("--height", type=positive, default=384)
    parser.add_argument("--width", type=positive, default=672)
    parser.add_argument("--batches", nargs="+", type=positive, default=[1, 2, 4], metavar="SIZE")
    parser.add_argument("--rounds", type=positive, default=3, help="how often each is measured (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")


async def run(options: argparse.Namespace, reporter: Reporter) -> None:
    """Measures and shows a table."""
    machine = await look_at_machine()
    figures: list[Figure] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for network in options.networks:
            with reporter.step(network):
                figures += await asyncio.to_thread(_measure, network, options)
    finally:
        torch.set_num_threads(threads)
    reporter.show(_table(figures))
    await write_figures(options.out, machine, _report(options, figures), PACKAGES)


def _measure(name: str, options: argparse.Namespace) -> list[Figure]:
    size = {"height": options.height, "width": options.width}
    model = _build(name, size)
    pictures = _pictures(max(options.batches), size)
    with tempfile.TemporaryDirectory(prefix="spoton-detector-") as folder:
        path = Path(folder, "detector.onnx")
        export_detector(model, path, **size, source=ModelSource(name, digest_of(model)))
        ways: dict[str, Detect] = {EAGER: _eager(model), ONNX: _onnx(path)}
        ms: dict[int, dict[str, list[float]]] = {batch: {way: [] for way in ways} for batch in options.batches}
        for detect in ways.values():
            detect(pictures[:1])
        for _ in range(options.rounds):
            for batch, of_way in ms.items():
                for way, detect in ways.items():
                    of_way[way].append(_ms_an_image(detect, pictures[:batch]))
    return [Figure(name, batch, of_way) for batch, of_way in ms.items()]


def _build(name: str, size: Mapping[str, int]) -> FasterRCNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_detector(name, 2 if name == DEMO else CLASSES, **size)
    if name == DEMO:
        load_weights(model, DEMO_WEIGHTS)
    return model.eval()


def _pictures(count: int, size: Mapping[str, int]) -> UInt8:
    samples = islice(detection_samples(PICTURES_SEED, **size, frames_per_place=1), count)
    return np.stack([sample.rgb for sample in samples])


def _eager(model: FasterRCNN) -> Detect:
    def detect(pictures: UInt8) -> object:
        with torch.inference_mode():
            return model(list(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0))

    return detect


def _onnx(path: Path) -> Detect:
    session = open_onnx(path, threads=1)
    return lambda pictures: session.run(["boxes", "scores"], {"images": pictures})


def _ms_an_image(detect: Detect, pictures: UInt8) -> float:
    began = time.process_time()
    detect(pictures)
    return (time.process_time() - began) * 1e3 / len(pictures)


def ratios(figures: Sequence[Figure], network: str) -> dict[str, list[float]]:
    """How many times faster than eager, for each round: at each batch size, and each at the batch that is its best."""
    own = [figure for figure in figures if figure.network == network]
    found = {f"batch {figure.batch}": _ratio(figure.ms[EAGER], figure.ms[ONNX]) for figure in own}
    best = {way: [min(round_) for round_ in zip(*(figure.ms[way] for figure in own), strict=True)] for way in own[0].ms}
    return {**found, "best batch": _ratio(best[EAGER], best[ONNX])}


def _ratio(eager: Sequence[float], onnx: Sequence[float]) -> list[float]:
    return [slow / quick for slow, quick in zip(eager, onnx, strict=True)]


def _report(options: argparse.Namespace, figures: Sequence[Figure]) -> dict[str, Any]:
    networks = {}
    for network in dict.fromkeys(figure.network for figure in figures):
        own = [figure for figure in figures if figure.network == network]
        networks[network] = {
            "ms_of_one_core_an_image": {
                f"batch {figure.batch}": {
                    way: [round(value, 1) for value in values] for way, values in figure.ms.items()
                }
                for figure in own
            },
            "times_faster_than_eager": {
                at: {
                    "median": round(median(values), 2),
                    "lowest": round(min(values), 2),
                    "highest": round(max(values), 2),
                }
                for at, values in ratios(figures, network).items()
            },
        }
    return {
        "size": [options.height, options.width],
        "rounds": options.rounds,
        "networks": networks,
    }


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(title="Detectors: milliseconds of one core an image, medians; times faster than eager")
    table.add_column("network")
    for title in ("batch", EAGER, ONNX, "faster", "lowest", "highest"):
        table.add_column(title, justify="right")
    for figure in figures:
        values = ratios(figures, figure.network)[f"batch {figure.batch}"]
        times = [f"{median(figure.ms[way]):.1f}" for way in (EAGER, ONNX)]
        table.add_row(figure.network, str(figure.batch), *times, *_spread(values))
    for network in dict.fromkeys(figure.network for figure in figures):
        table.add_row(network, "best", "", "", *_spread(ratios(figures, network)["best batch"]))
    return table


def _spread(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in (median(values), min(values), max(values))]
