"""Global ids: the first characters of the task's id, and the number of the person, counted from 1."""

from __future__ import annotations


def prefix_of(task_id: str) -> str:
    """What the global ids of a task begin with."""
    return task_id[:8]


def global_id(prefix: str, person: int) -> str:
    """The global id of a person by number, from 0."""
    return f"{prefix}-{person + 1}"


def person_of(known: str) -> int:
    """The number of the person, from 0, whose global id this is."""
    return int(known.rpartition("-")[2]) - 1
