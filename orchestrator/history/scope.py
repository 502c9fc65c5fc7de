"""What part of history a question is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """An environment, or one task in it, from ``start`` to before ``end``; None for no bound."""

    environment_id: str
    task_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The parameters of a statement."""
        return {
            "environment_id": self.environment_id,
            "task_id": self.task_id,
            "start": self.start,
            "end": self.end,
        }
