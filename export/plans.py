"""TensorRT plans: what one is built from and for, and the refusal of one that was made for another machine.

A plan runs on the kind of GPU and with the version of TensorRT that built it. Both are noted beside it, with the digest
of the ONNX file, its precision and its profiles; that record goes with the plan into the repository.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from export.files import written_aside
from export.records import digest, is_current, read_record, record_path, write_record
from export.repository import Content, read_model, versions
from export.serving import BatchProfile, ModelSpec, Target, batch_profiles

PLAN = Target.TENSORRT.model_file
QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")
QUERY_TIMEOUT_S = 30.0
WORKSPACE_MIB = 4096
TIMING_CACHE = "timing.cache"
BUILD_TIMEOUT_S = 3600.0

Say = Callable[[str], None]


class PlanError(ValueError):
    """A plan cannot be built, or was made for another machine or another model."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan is bound to."""

    gpu: str
    compute_capability: str
    tensorrt: str
    """Major, minor and patch."""

    def __str__(self) -> str:
        return f"{self.gpu} (compute capability {self.compute_capability}) with TensorRT {self.tensorrt}"


@dataclass(frozen=True, slots=True)
class PlanJob:
    """A plan to be built: an ONNX file, the ranges of its batch, and the most scratch memory that a layer may take."""

    onnx: Path
    spec: ModelSpec
    profiles: tuple[BatchProfile, ...]
    workspace_mib: int = WORKSPACE_MIB

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of the network's one input."""
        return (batch, *self.spec.input.dims)

    def facts(self, machine: Machine) -> dict[str, Any]:
        """What the plan depends on, as its record has it."""
        return {
            "machine": asdict(machine),
            "onnx": digest(self.onnx),
            "model_id": self.spec.model_id,
            "precision": self.spec.precision.value,
            "profiles": [[profile.smallest, profile.largest] for profile in self.profiles],
            "workspace_mib": self.workspace_mib,
        }


class PlanBuilder(Protocol):
    """TensorRT, one way or another."""

    def version(self) -> str:
        """Of TensorRT: major, minor and patch. Raises ``PlanError`` where it is not there."""
        ...

    def build(self, job: PlanJob, out: Path, timing_cache: Path) -> None:
        """Writes ``out``; kernel timings are read from and kept in ``timing_cache``. Raises ``PlanError``."""
        ...


def plan_job(onnx: Path, batches: tuple[int, ...], workspace_mib: int = WORKSPACE_MIB) -> PlanJob:
    """A job with one profile for each batch size. Raises ``ValueError`` for a file that is no model of the contract."""
    return PlanJob(onnx, read_model(onnx), batch_profiles(batches), workspace_mib)


def this_machine(builder: PlanBuilder) -> Machine:
    """The GPU that is seen here, and the builder's TensorRT. Raises ``PlanError`` for no GPU, and for unlike ones."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise PlanError(f"no NVIDIA GPU here: {QUERY[0]}: {error}") from error
    found = sorted({line.strip() for line in done.stdout.splitlines() if line.strip()})
    if len(found) != 1:
        raise PlanError(f"a plan is for one kind of GPU, {QUERY[0]} shows {'; '.join(found) or 'none'}")
    name, _, capability = found[0].rpartition(",")
    return Machine(name.strip(), capability.strip(), builder.version())


def make_plan(job: PlanJob, builder: PlanBuilder, out: Path, say: Say) -> None:
    """Builds ``out`` with its record beside it, unless it is current already; never leaves half a plan.

    Raises ``PlanError`` and ``OSError``.
    """
    machine = this_machine(builder)
    facts = job.facts(machine)
    if is_current(out, facts):
        say(f"{out.name}: up to date")
        return
    say(f"{out.name}: {job.spec.precision}, {len(job.profiles)} profiles, for {machine}")
    started = time.monotonic()
    with written_aside(out) as partial:
        builder.build(job, partial, out.with_name(TIMING_CACHE))
    write_record(out, facts)
    say(f"{out.name}: built in {time.monotonic() - started:.0f} s, {out.stat().st_size / 1e6:.1f} MB")


def plan_content(plan: Path, onnx: Path, machine: Machine) -> Content:
    """The files of a version that runs ``plan``. Raises ``PlanError`` where it was not made here from ``onnx``."""
    made_from = _checked(plan, machine)
    if made_from["onnx"] != digest(onnx):
        raise PlanError(f"{plan}: was not built from {onnx}; build it anew")
    return {PLAN: plan, record_path(Path(PLAN)).name: record_path(plan)}


def check_repository(repository: Path, machine: Callable[[], Machine]) -> list[str]:
    """A sentence for each model; ``machine`` is asked for only where there is a plan.

    Raises ``PlanError`` for a plan that this machine cannot load, and where there is no model at all.
    """
    found = []
    for folder in sorted(entry for entry in repository.glob("[!.]*") if entry.is_dir()):
        have = versions(folder)
        if not have:
            raise PlanError(f"{folder}: no version")
        plan = folder / str(have[-1]) / PLAN
        if plan.is_file():
            made_from = _checked(plan, machine())
            found.append(f"{folder.name} version {have[-1]}: a plan in {made_from['precision']} for this machine")
        else:
            found.append(f"{folder.name} version {have[-1]}: no plan, not bound to a machine")
    if not found:
        raise PlanError(f"{repository}: no model there")
    return found


def _checked(plan: Path, machine: Machine) -> dict[str, Any]:
    """What a plan was made from; raises ``PlanError`` where that is unknown or not this machine."""
    record = read_record(plan)
    if record is None:
        raise PlanError(f"{plan}: no record of the machine it was built for; build it with python -m export")
    if record["sha256"] != digest(plan):
        raise PlanError(f"{plan}: is not the file that its record is of: cut short, or replaced")
    made_from: dict[str, Any] = record["made_from"]
    made_for = Machine(**made_from["machine"])
    if made_for != machine:
        raise PlanError(f"{plan}: was built for {made_for}, this is {machine}; build it anew here")
    return made_from
