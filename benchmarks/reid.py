"""Processor time a crop of the exported Re-ID networks in ONNX Runtime beside eager PyTorch, by batch size.

Each has one thread, and what counts is its processor time: on a machine with other work, threads that wait for one
another would be measured instead of the networks. Time does not depend on the weights: they are random here, and the
int8 scales are those of noise. Machines change their speed from one minute to the next, so the three run in turns, and
the ratio is the median of each turn's own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import nn

from benchmarks.machine import look_at_machine, write_figures
from benchmarks.throughput import positive
from demo.console import Reporter
from export.architectures import EMBEDDERS, build_embedder
from export.calibration import UInt8, open_onnx
from export.clip_reid import ARCHITECTURE as CLIP
from export.clip_reid import ClipReid
from export.onnx_file import ModelSource, digest_of
from export.osnet import NAMES, OsNet
from export.precision import LEAST_CROPS
from export.quantise import quantise
from export.reid import CROP_HW, CropEmbedder, export_reid

PACKAGES = ("torch", "onnxruntime")
NETWORKS = (CLIP, *NAMES, *EMBEDDERS)
EAGER, ONNX, INT8 = "PyTorch eager", "ONNX Runtime", "ONNX Runtime int8"

TURN_S = 0.3
"""How long each has its turn, at least."""

Embed = Callable[[UInt8], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One network at one batch size; milliseconds of one core a crop, one value for each round."""

    network: str
    batch: int
    ms: Mapping[str, Sequence[float]]

    def ratio(self, way: str) -> float:
        """How many times faster than eager, the median of the rounds."""
        return median(eager / other for eager, other in zip(self.ms[EAGER], self.ms[way], strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which networks, at which batch sizes, how often."""
    chosen = [CLIP, "osnet_x1_0", "osnet_x0_25", "lite0_bands"]
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=chosen, metavar="NAME")
    parser.add_argument("--batches", nargs="+", type=positive, default=[1, 2, 4, 8, 16], metavar="SIZE")
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
                figures += await asyncio.to_thread(_measure, network, options.batches, options.rounds)
    finally:
        torch.set_num_threads(threads)
    reporter.show(_table(figures))
    await write_figures(options.out, machine, {"ms_of_one_core_a_crop": [_row(figure) for figure in figures]}, PACKAGES)


def _measure(name: str, batches: Sequence[int], rounds: int) -> list[Figure]:
    network = _build(name).eval()
    random = np.random.default_rng(0)
    crops = random.integers(0, 256, (max(LEAST_CROPS, *batches), *CROP_HW, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="spoton-reid-") as folder:
        path, int8 = Path(folder, "reid.onnx"), Path(folder, "reid.int8.onnx")
        export_reid(network, path, source=ModelSource(name, digest_of(network)))
        quantise(path, crops[:LEAST_CROPS], int8)
        ways = {EAGER: _eager(network), ONNX: _onnx(path), INT8: _onnx(int8)}
        return [_in_turns(name, ways, crops[:batch], rounds) for batch in batches]


def _build(name: str) -> nn.Module:
    if name == CLIP:
        network: nn.Module = ClipReid()
        nn.init.normal_(network.get_parameter("encoder.pos_embed"), std=0.02)
        return network
    return OsNet(name) if name in NAMES else build_embedder(name)


def _eager(network: nn.Module) -> Embed:
    model = CropEmbedder(network)

    def embed(crops: UInt8) -> object:
        with torch.inference_mode():
            return model(torch.from_numpy(crops))

    return embed


def _onnx(path: Path) -> Embed:
    session = open_onnx(path, threads=1)
    return lambda crops: session.run(["embeddings"], {"crops": crops})


def _in_turns(name: str, ways: Mapping[str, Embed], crops: UInt8, rounds: int) -> Figure:
    ms: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, embed in ways.items():
            ms[way].append(_ms_a_crop(embed, crops))
    return Figure(name, len(crops), ms)


def _ms_a_crop(embed: Embed, crops: UInt8) -> float:
    embed(crops)  # the caches are the one's before
    began, calls = time.process_time(), 0
    while calls == 0 or time.process_time() - began < TURN_S:
        embed(crops)
        calls += 1
    return (time.process_time() - began) * 1e3 / (calls * len(crops))


def _row(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "times_faster": {way: round(figure.ratio(way), 2) for way in (ONNX, INT8)}}


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(title="Re-ID: milliseconds of one core a crop, medians; times faster than eager")
    table.add_column("network")
    for title in ("batch", EAGER, ONNX, "faster", INT8, "faster"):
        table.add_column(title, justify="right")
    for figure in figures:
        eager, plain, int8 = (f"{median(figure.ms[way]):.1f}" for way in (EAGER, ONNX, INT8))
        faster = [f"{figure.ratio(way):.2f}" for way in (ONNX, INT8)]
        table.add_row(figure.network, str(figure.batch), eager, plain, faster[0], int8, faster[1])
    return table
