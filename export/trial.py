"""A new version answers under a name of its own, which no client asks for, before anybody is served by it.

The server (``--model-control-mode=explicit``) is sent the files themselves, so the repository knows nothing of a trial,
and a server that restarts meanwhile comes back as it was. What does not load is found out here too.

After a model that failed to load, Triton's ``/v2/health/ready`` may say no until it restarts, whatever else it serves:
ask for the readiness of each model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from export.repository import Content, is_newest, locked
from export.served import Server
from export.serving import ModelSpec, Serving, Target, default_serving, model_config

LOCK = ".trial.lock"
"""Beside the repository's own lock, so that ``rollback`` need not wait for a proof."""
SUFFIX = ".trial"
VERSION = 1

Names = Mapping[str, str]
"""Of models, to those under which they answer in a trial."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to be placed."""

    spec: ModelSpec
    content: Content
    serving: Serving | None = None
    """None: the values in use for it."""


@contextmanager
def on_trial(repository: Path, models: Sequence[Model], target: Target, server: Server) -> Iterator[Names]:
    """While the block lasts, ``server`` has under trial names those of ``models`` that ``repository`` has not yet.

    With one instance each, which takes less memory than the version will. Raises ``ServerError`` if one does not load.
    """
    new = [m for m in models if not is_newest(repository, m.spec, m.content, target, m.serving)]
    names = {model.spec.name: f"{model.spec.name}{SUFFIX}" for model in new}
    with locked(repository, LOCK):
        try:
            for model in new:
                _load(server, names[model.spec.name], model, target)
            yield names
        finally:
            for model in models:  # the others too: a killed export may have left them
                server.unload(f"{model.spec.name}{SUFFIX}")


def _load(server: Server, name: str, model: Model, target: Target) -> None:
    serving = replace(model.serving or default_serving(model.spec.name, target), instances=1)
    config = model_config(replace(model.spec, name=name), serving, target, VERSION)
    files = {
        file: source if isinstance(source, bytes) else source.read_bytes() for file, source in model.content.items()
    }
    server.load_files(name, VERSION, config.to_pbtxt(), files)
