"""Measures the demo's models on what they were not trained on, and keeps the table in the model card.

``python -m demo evaluate`` prints the table; with ``--card`` it is written into the card between its two marks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from demo.training.detector_figures import DetectorFigures, detector_figures
from demo.training.reid_figures import ReidFigures, milliseconds_per_crop, reid_figures

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def evaluate(detector: Path, reid: Path, data: Path) -> str:
    """The figures of both models as a table in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = [
            *_detector_rows(detector_figures(detector, data, work)),
            *_reid_rows(reid_figures(reid, data), milliseconds_per_crop(reid, work)),
        ]
    head = ("| model | on | figure | value |", "| --- | --- | --- | --- |")
    return "\n".join((*head, *(f"| {' | '.join(row)} |" for row in rows)))


def check_card(card: Path) -> None:
    """Raises ``OSError`` where the card cannot be written, ``ValueError`` where it has no marks for a table."""
    text = card.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{card} has no place for figures: {BEGIN} ... {END}")
    if not os.access(card, os.W_OK):
        raise PermissionError(f"{card} cannot be written")


def write_card(card: Path, table: str) -> None:
    """Puts the table between the marks of the card; raises as ``check_card`` does."""
    check_card(card)
    text = card.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    card.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _detector_rows(found: DetectorFigures) -> Iterator[tuple[str, str, str, str]]:
    yield "detector", "held-out Penn-Fudan photos", "AP50", f"{found.ap50_pennfudan:.3f}"
    yield "detector", "held-out COCO photos", "AP50", f"{found.ap50_coco_people:.3f}"
    yield "detector", "of these, photos of val2017 alone", "AP50", f"{found.ap50_coco_val2017:.3f}"
    yield "detector", "unseen simulated places", "AP50", f"{found.ap50_simulated:.3f}"
    yield "detector", "real corridor video, score 0.5", "precision", f"{found.corridor_precision:.3f}"
    yield "detector", "real corridor video, score 0.5", "recall", f"{found.corridor_recall:.3f}"
    yield "detector", "two threads, batches of 4", "ms a frame", f"{found.ms_per_frame:.1f}"


def _reid_rows(figures: dict[str, ReidFigures], ms_per_crop: float) -> Iterator[tuple[str, str, str, str]]:
    for name, found in figures.items():
        model = "Re-ID" if name == "network" else name
        yield model, "unseen simulated people across cameras", "rank-1", f"{found.rank_1:.3f}"
        yield model, "unseen simulated people across cameras", "mAP", f"{found.mean_average_precision:.3f}"
        yield model, "changed views of held-out people in photos", "rank-1", f"{found.rank_1_real_views:.3f}"
    own = figures["network"]
    yield "Re-ID", "unseen simulated people across cameras", "neutral similarity", f"{own.neutral_similarity:.2f}"
    yield "Re-ID", "two threads, batches of 16", "ms a crop", f"{ms_per_crop:.2f}"
