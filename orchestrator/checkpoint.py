"""What a resumed run needs to go on as if nothing had happened, as bytes for the checkpoint row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run between two batches."""

    rate: float
    """Ticks a second, fixed by the task's first batch."""
    next_tick: int
    """Global frame index of the first tick to come."""
    frames: int
    """Frames processed so far, all cameras."""
    association: bytes
    """``Associator.snapshot()``; empty before the first tick."""
    model: str = ""
    """Whose embeddings it holds, ``name:version``; empty where nobody has said."""

    def to_bytes(self) -> bytes:
        """One line of JSON, then the association state as it is."""
        head = {"rate": self.rate, "next_tick": self.next_tick, "frames": self.frames, "model": self.model}
        return json.dumps(head).encode() + b"\n" + self.association

    @classmethod
    def from_bytes(cls, state: bytes) -> Self:
        """Reads what ``to_bytes`` wrote."""
        head, association = state.split(b"\n", 1)
        return cls(association=association, **json.loads(head))
