"""A new version of a model goes live, and back, while the server answers.

With a server, it is tried and proven under another name first (``export.trial``): what misses is never live.
The server (``--model-control-mode=explicit``) is told to load what stands in the repository by then. It goes on
answering with the version that it has until the other one is warmed up, so no request is dropped. Where a version does
not load, the repository becomes what it was before, so that a server that restarts does not stumble over it either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from export.repository import (
    Placed,
    RepositoryError,
    locked,
    onnx_content,
    place,
    read_detector,
    read_reid,
    reinstate,
    remove,
    versions,
    withdraw,
)
from export.served import Server, ServerError
from export.serving import Serving, Target
from export.trial import Model, Names, on_trial

Prove = Callable[[Names], None]
"""Is given the names under which what is new answers; raises for a version that shall not go live."""


def publish(
    repository: Path,
    models: Sequence[Model],
    target: Target,
    server: Server | None = None,
    prove: Prove | None = None,
) -> list[Placed]:
    """Tries all models in ``server``, which serves ``repository``, places them, or none, and has it load them.

    Raises ``ServerError`` where a model does not load, what ``prove`` raises, and ``OSError``: with the repository as
    it was.
    """
    if server is not None:
        with on_trial(repository, models, target, server) as names:
            if prove is not None:
                prove(names)
    with locked(repository):
        placed: list[Placed] = []
        try:
            for model in models:
                placed += [place(repository, model.spec, model.content, target, model.serving)]
        except OSError:
            _remove(repository, placed)
            raise
        if server is not None:
            go_live(repository, placed, server)
    return placed


def write_repository(
    target: Target,
    out: Path,
    *,
    detector: Path,
    reid: Path,
    detector_serving: Serving | None = None,
    reid_serving: Serving | None = None,
    server: Server | None = None,
) -> list[Placed]:
    """Places two ONNX files made by this package as ``out/person_detector`` and ``out/person_reid``.

    Raises ``ValueError`` for a file that does not fit the tensor contract, what ``publish`` raises and, for TensorRT,
    ``RepositoryError``: plans are made by ``python -m export all``. In all cases what is served stays.
    """
    if target is Target.TENSORRT:
        raise RepositoryError("a plan is built from an ONNX file first: python -m export all")
    models = [
        Model(read_detector(detector), onnx_content(detector, target), detector_serving),
        Model(read_reid(reid), onnx_content(reid, target), reid_serving),
    ]
    return publish(out, models, target, server)


def go_live(repository: Path, placed: Sequence[Placed], server: Server) -> None:
    """Has the server load what was placed; the caller holds ``locked``.

    Raises ``ServerError`` where a version does not load; it and those after it are removed again.
    """
    for index, model in enumerate(placed):
        try:
            server.load(model.name, model.version)
        except ServerError:
            _remove(repository, placed[index:])
            raise


def _remove(repository: Path, placed: Sequence[Placed]) -> None:
    for model in placed:
        if model.is_new:
            remove(repository, model.name)


def roll_back(repository: Path, name: str, server: Server | None) -> int:
    """Goes back to the version before the newest one, on the disk and, unless None, in the server; gives its number.

    Raises ``RepositoryError`` where there is none, and ``ServerError`` with everything as it was.
    """
    if not versions(repository / name):
        raise RepositoryError(f"{repository}: no model {name!r} there")
    with locked(repository):
        withdrawn, version = withdraw(repository, name)
        if server is not None:
            try:
                server.load(name, version)
            except ServerError:
                reinstate(repository, name, withdrawn)
                raise
    return version
