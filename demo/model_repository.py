"""The demo's models as Triton serves them: ``python -m export all`` with the YAML file beside the committed weights.

The export runs in a process of its own: it needs torch, can be ended at any moment, and what it takes is given back
when it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from orchestrator.errors import SpotOnError

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Path(__file__).parent / "models" / "export.yaml"
EXPORT_TIMEOUT_S = 900.0
REID_SIMILARITY = 0.52
"""Cosine at which two crops are as likely of one person as of two (``neutral_similarity`` in the model card)."""
DETECTION_THRESHOLD = 0.8
"""Score from which a box starts a track: with it 0.910 of the people in unseen simulated places are found and 0.981 of
the boxes are right, with 0.75 0.915 and 0.975."""
SETTINGS = {
    "SPOTON_REID_SIMILARITY": str(REID_SIMILARITY),
    "SPOTON_DETECTION_THRESHOLD": str(DETECTION_THRESHOLD),
}
"""What the worker has to know of these models."""


class ModelsError(SpotOnError):
    """The demo's models cannot be exported; carries the last lines of the export."""


async def prepare_models(folder: Path, config: Path = CONFIG) -> None:
    """Makes ``folder`` a Triton model repository of the demo's models; quick where it is one already.

    Raises:
        ModelsError: weights are missing or do not fit their network, or the export took too long.
    """
    work = folder.with_name(f"{folder.name}.work")
    arguments = ["all", str(config), "--repository", str(folder), "--work", str(work)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "export",
        *arguments,
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
