"""Who is asking, and what they may."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import SpotOnError


class NotLoggedInError(SpotOnError):
    """The request does not say who asks, or its token is unknown, expired or revoked."""


class ForbiddenError(SpotOnError):
    """Who asks may not do this; names what it takes."""


class Role(StrEnum):
    """What somebody may do; an operator may do all that a viewer may."""

    VIEWER = "viewer"
    """Look: tasks, video, history."""
    OPERATOR = "operator"
    """Start and control tasks too."""

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what ``needed`` may."""
        return self is Role.OPERATOR or needed is Role.VIEWER


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking."""

    name: str
    """As the audit log calls them."""
    role: Role
    environments: Collection[str] | None
    """Ids of those that they may see; None for all of them."""
    token_id: str | None = None
    """Of the API token that they came with, by itself or as a ticket that was made for it."""

    def sees(self, environment_id: str) -> bool:
        """Whether an environment, and all that happened in it, is theirs."""
        return self.environments is None or environment_id in self.environments


ANYBODY = Principal("anybody", Role.OPERATOR, None)
"""Who is asking where access control is off."""
