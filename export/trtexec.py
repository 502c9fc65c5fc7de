"""Plans by ``trtexec``, which Triton's container has: built there, a plan is by the very TensorRT that loads it.

The options are those of TensorRT 10.12 to 11 (11 dropped the ones that chose a precision: its networks are strongly
typed). The command line and what is made of its outcome are tested with a stand-in program; the real one has not been
run by the tests.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.plans import BUILD_TIMEOUT_S, PlanError, PlanJob

PROGRAM = "trtexec"
VERSION_TIMEOUT_S = 60.0
_BANNER = re.compile(r"\[TensorRT v(\d{2})(\d{2})(\d{2})\]")
_LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class TrtexecBuilder:
    """A ``PlanBuilder`` that runs ``trtexec``."""

    program: str = PROGRAM
    timeout_s: float = BUILD_TIMEOUT_S

    def version(self) -> str:
        """As the program's first line has it. Raises ``PlanError``."""
        try:
            said = subprocess.run([self.program, "--help"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise PlanError(f"no {self.program} here: {error}") from error
        found = _BANNER.search(said.stdout + said.stderr)
        if found is None:
            raise PlanError(f"{self.program}: does not say its version")
        return ".".join(str(int(part)) for part in found.groups())

    def build(self, job: PlanJob, out: Path, timing_cache: Path) -> None:
        """Writes ``out``. Raises ``PlanError`` with the last errors that the program printed."""
        command = trtexec_command(job, out, timing_cache, self.program)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise PlanError(f"{self.program}: {job.onnx} took more than {self.timeout_s:.0f} s") from None
        if done.returncode or not out.is_file():
            lines = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line] or [
                f"ended with status {done.returncode}"
            ]
            raise PlanError(f"{self.program}: {job.onnx}: {' '.join(' / '.join(lines[-_LAST_LINES:]).split())}")


def trtexec_command(job: PlanJob, out: Path, timing_cache: Path, program: str = PROGRAM) -> list[str]:
    """The arguments that build ``out``; shapes are NAME:NxHxWx3."""
    return [
        program,
        f"--onnx={job.onnx}",
        f"--saveEngine={out}",
        f"--timingCacheFile={timing_cache}",
        f"--memPoolSize=workspace:{job.workspace_mib}M",
        "--skipInference",
        *_profiles(job),
    ]


def command_line(job: PlanJob, out: Path, timing_cache: Path) -> str:
    """The same for a shell."""
    return shlex.join(trtexec_command(job, out, timing_cache))


def _profiles(job: PlanJob) -> Iterator[str]:
    for index, profile in enumerate(job.profiles):
        yield f"--profile={index}"
        for name, batch in (("min", profile.smallest), ("opt", profile.largest), ("max", profile.largest)):
            yield f"--{name}Shapes={job.spec.input.name}:{'x'.join(map(str, job.shape(batch)))}"
