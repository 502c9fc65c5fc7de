"""The demo's models as Triton serves them: exported from the committed weights once, and again when those change.

``python -m demo.model_repository FOLDER WEIGHTS`` is the export itself, in a process of its own: it needs torch, can be
ended at any moment, and what it takes is given back when it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from orchestrator.errors import SpotOnError

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = Path(__file__).parent / "models"
DETECTOR, DETECTOR_WEIGHTS = "fasterrcnn_lite0_fpn", "detector.safetensors"
DETECTOR_HW = (384, 672)
REID, REID_WEIGHTS = "lite0_bands", "reid.safetensors"
MODELS = ("person_detector", "person_reid")
EXPORT_TIMEOUT_S = 900.0
REID_SIMILARITY = 0.52
"""Cosine at which two crops are as likely of one person as of two (``neutral_similarity`` in the model card)."""
DETECTION_THRESHOLD = 0.8
"""Score from which a box starts a track. Over two seeds of the demo site that no figure is quoted on, across-camera
IDF1 was 0.75 with 0.7, 0.78 with 0.8 and with 0.85, 0.79 with 0.9, where people far away begin to be missed."""
SETTINGS = {
    "SPOTON_REID_SIMILARITY": str(REID_SIMILARITY),
    "SPOTON_DETECTION_THRESHOLD": str(DETECTION_THRESHOLD),
}
"""What the worker has to know of these models."""


class ModelsError(SpotOnError):
    """The demo's models cannot be exported; carries the last lines of the export."""


async def prepare_models(folder: Path, weights: Path = WEIGHTS) -> bool:
    """Makes ``folder`` a Triton model repository of the demo's models; False where it is one already.

    Raises:
        ModelsError: weights are missing or do not fit their network, or the export took too long.
    """
    version = await asyncio.to_thread(_version, weights)
    marker = folder.with_name(f"{folder.name}.version")
    if await asyncio.to_thread(_is_current, folder, marker, version):
        return False
    await _run_export(folder, weights)
    await asyncio.to_thread(marker.write_text, version)
    return True


async def _run_export(folder: Path, weights: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        str(folder),
        str(weights),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(EXPORT_TIMEOUT_S):
            _, said = await process.communicate()
    except TimeoutError:
        raise ModelsError(f"the export of the demo's models took more than {EXPORT_TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = "\n".join(said.decode(errors="replace").splitlines()[-10:])
        raise ModelsError(f"the demo's models cannot be exported; the last lines of the export:\n{last}")


def export(folder: Path, weights: Path) -> None:
    """Writes the repository; raises ``ValueError`` or ``OSError`` where the weights are unfit or missing."""
    from export.onnx_models import export_detector_file, export_reid_file
    from export.rollout import write_repository
    from export.serving import Target

    work = folder.with_name(f"{folder.name}.onnx")
    work.mkdir(parents=True, exist_ok=True)
    detector, reid = work / "detector.onnx", work / "reid.onnx"
    height, width = DETECTOR_HW
    export_detector_file(DETECTOR, weights / DETECTOR_WEIGHTS, detector, height=height, width=width)
    export_reid_file(REID, weights / REID_WEIGHTS, reid)
    write_repository(Target.CPU, folder, detector=detector, reid=reid)


def _version(weights: Path) -> str:
    """A hash of everything that the repository is made from."""
    digest = hashlib.sha256(str(len(os.sched_getaffinity(0))).encode())  # so many instances are configured
    for path in (weights / DETECTOR_WEIGHTS, weights / REID_WEIGHTS, *sorted((ROOT / "export").rglob("*.py"))):
        if not path.is_file():
            raise ModelsError(f"the demo's models cannot be exported: {path} is missing")
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _is_current(folder: Path, marker: Path, version: str) -> bool:
    complete = all((folder / model / "config.pbtxt").is_file() for model in MODELS)
    return complete and marker.is_file() and marker.read_text() == version


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
