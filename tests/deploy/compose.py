"""``docker-compose.gpu.yml`` as tests read it, and Debian's Prometheus where it is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.gpu.yml"
PROMETHEUS = ROOT / ".spoton" / "prometheus" / "usr" / "bin"
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::?-(?P<default>[^}]*))?\})")


def load(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with its variables filled in from ``environ``, and ``$$`` as ``$``, as compose does it."""
    given = environ or {}

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else given.get(name, match["default"] or "")

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(item) for key, item in node.items()}
        if isinstance(node, list):
            return [filled(item) for item in node]
        return _VARIABLE.sub(value, node) if isinstance(node, str) else node

    return dict(filled(yaml.safe_load(FILE.read_text())))


def service(name: str) -> dict[str, Any]:
    """One service, with its variables filled in."""
    return dict(load()["services"][name])


def prometheus_tool(name: str) -> str | None:
    """The path of ``prometheus`` or ``promtool``."""
    return shutil.which(name) or shutil.which(name, path=str(PROMETHEUS))
