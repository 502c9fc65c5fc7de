"""``python -m demo train detector --steps 9000 --out F``, the same for ``reid``, and ``python -m demo evaluate``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import cv2
from safetensors import SafetensorError

from demo.arguments import jpeg, make_writable, number, weights, whole
from demo.training.detector import DetectorPlan
from demo.training.detector import train as train_detector
from demo.training.evaluate import check_card, evaluate, write_card
from demo.training.nanodet import NanodetError
from demo.training.reid import ReidPlan
from demo.training.reid import train as train_reid
from demo.training.sheet import write_sheet

MODELS = Path(__file__).parents[1] / "models"


def main() -> None:
    """Parses the command line and trains or measures; what is missing is said in one line, with exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("demo").setLevel(logging.INFO)
    cv2.setNumThreads(1)
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (OSError, NanodetError, SafetensorError, ValueError) as error:
        sys.exit(f"python -m demo: {str(error).strip().splitlines()[-1]}")  # of a loading process it is a traceback


def _train_detector(arguments: argparse.Namespace) -> None:
    plan = DetectorPlan(
        steps=arguments.steps,
        size_hw=(arguments.height, arguments.width),
        simulated_share=arguments.simulated,
        coco_share=arguments.coco,
        learning_rate=arguments.rate,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    make_writable(arguments.out)
    train_detector(plan, arguments.data, arguments.out, arguments.start, fresh=arguments.fresh)


def _train_reid(arguments: argparse.Namespace) -> None:
    plan = ReidPlan(
        steps=arguments.steps,
        simulated_crops=arguments.crops,
        learning_rate=arguments.rate,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    make_writable(arguments.out)
    train_reid(plan, arguments.data, arguments.out, arguments.start, fresh=arguments.fresh)


def _evaluate(arguments: argparse.Namespace) -> None:
    """What cannot be written is found before anything is measured."""
    if arguments.card is not None:
        check_card(arguments.card)
    if arguments.sheet is not None:
        make_writable(arguments.sheet)
    table = evaluate(arguments.detector, arguments.reid, arguments.data)
    print(table)
    if arguments.card is not None:
        write_card(arguments.card, table)
    if arguments.sheet is not None:
        write_sheet(arguments.detector, arguments.data, arguments.sheet, with_photos=arguments.photos)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo train", description=__doc__)
    networks = parser.add_subparsers(dest="network", required=True)
    detector = networks.add_parser("detector", help="train the demo detector")
    detector.add_argument("--height", type=whole(128, 1024), default=384, help="pixels of a training picture")
    detector.add_argument("--width", type=whole(128, 1024), default=384, help="pixels of a training picture")
    detector.add_argument("--simulated", type=number(0, 1), default=0.3, help="share of simulated pictures, 0..1")
    detector.add_argument("--coco", type=number(0, 1), default=0.8, help="share of COCO among the photos, 0..1")
    detector.set_defaults(run=_train_detector, rate=5e-4, steps=9000)
    reid = networks.add_parser("reid", help="train the demo's Re-ID network")
    reid.add_argument(
        "--crops", type=whole(64, 1_000_000), default=12800, help="simulated crops to render, eight for each person"
    )
    reid.set_defaults(run=_train_reid, rate=7e-4, steps=4000)
    measure = networks.add_parser(
        "evaluate", prog="python -m demo evaluate", help="print the figures of the model card"
    )
    measure.add_argument("--detector", type=Path, default=MODELS / "detector.safetensors")
    measure.add_argument("--reid", type=Path, default=MODELS / "reid.safetensors")
    measure.add_argument("--data", type=Path, default=Path("../shared/data"))
    measure.add_argument("--card", type=Path, help="the model card whose table is to be written anew")
    measure.add_argument("--sheet", type=jpeg, help="also a contact sheet of real pictures with detections")
    measure.add_argument("--photos", action="store_true", help="with photos in it, not to be passed on")
    measure.set_defaults(run=_evaluate)
    for network in (detector, reid):
        network.add_argument("--steps", type=whole(1, 1_000_000), help="default: %(default)s")
        network.add_argument("--rate", type=number(1e-9, 1), help="highest learning rate (default: %(default)s)")
        network.add_argument("--seed", type=whole(0, 9999), default=0)
        network.add_argument("--threads", type=whole(1, 1024), default=2)
        network.add_argument("--data", type=Path, default=Path("../shared/data"))
        network.add_argument("--start", type=Path, default=None, help="weights of an earlier training to begin with")
        network.add_argument("--out", type=weights, required=True, help="the weights to write, .safetensors")
        network.add_argument(
            "--fresh", action="store_true", help="begin anew where a killed training left its state beside --out"
        )
    return parser


if __name__ == "__main__":
    main()
