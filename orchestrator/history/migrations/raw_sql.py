"""What revisions are made of."""

from __future__ import annotations

from importlib import resources
from typing import Any

from alembic import op

VERSIONS = resources.files("orchestrator.history.migrations") / "versions"


def run_file(name: str) -> None:
    """Runs a file of statements beside the revisions."""
    run((VERSIONS / name).read_text("utf-8"))


def run(statements: str) -> None:
    """Runs statements as they are: neither ``:name`` nor ``%`` means anything."""
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def value(query: str) -> Any:
    """The only value that a query gives; None where it gives nothing."""
    return op.get_bind().exec_driver_sql(query, execution_options={"no_parameters": True}).scalar()


def has_timescaledb() -> bool:
    """Whether the extension is installed in this database."""
    return bool(value("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"))
