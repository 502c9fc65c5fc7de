"""Who each track is, and from when to when it was seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

Key = tuple[int, int]
"""Row of the camera, and track id."""
STRAY_TICKS = 2000
"""Spans of tracks without a name are kept for so long: trackers revive lost tracks for less."""


@dataclass(slots=True)
class Names:
    """The people of all tracks so far, by number."""

    people: dict[Key, int] = field(default_factory=dict)
    spans: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """First and last tick of the tracks of people who are still remembered, and of those without a name."""
    tracks: dict[int, dict[Key, None]] = field(default_factory=dict)
    """Of each person who is still remembered."""
    renamed: set[Key] = field(default_factory=set)
    """Tracks that had another name before, or have lost theirs: of some ticks it was told otherwise."""

    def give(self, key: Key, person: int) -> None:
        """Names a track, in place of the name that it had."""
        if self.people.get(key, person) != person:
            self.renamed.add(key)
        self._drop(key)
        self.people[key] = person
        self.tracks.setdefault(person, {})[key] = None

    def take(self, key: Key) -> None:
        """Takes the name from a track, if it has one."""
        if key in self.people:
            self.renamed.add(key)
        self._drop(key)

    def _drop(self, key: Key) -> None:
        person = self.people.pop(key, None)
        if person is not None and person in self.tracks:
            self.tracks[person].pop(key, None)

    def saw(self, keys: Iterable[Key], first: Iterable[int], last: Iterable[int]) -> None:
        """Takes down when tracks were seen."""
        self.spans.update(zip(keys, zip(first, last, strict=True), strict=True))

    def join(self, older: int, younger: int, live: Collection[Key]) -> bool:
        """Gives the tracks of the younger of two people, who turned out to be one, to the older.

        Where one camera had a track of each in view at one time, one of the two belongs to somebody else after all. The
        track in view (``live``) is taken for the person's; the other stays with, or goes to, the younger.

        Returns:
            Whether it could be done; nothing has changed otherwise.
        """
        own, theirs = list(self.tracks.get(older, ())), list(self.tracks.get(younger, ()))
        pairs = [(one, other) for one in own for other in theirs if self._overlap(one, other)]
        stay = {other for one, other in pairs if one in live}
        go = {one for one, other in pairs if one not in live and other not in stay}
        joined = [key for key in (*own, *theirs) if key not in stay and key not in go]
        rest = [*stay, *go]
        if any(self._overlap(*pair) for group in (joined, rest) for pair in combinations(group, 2)):
            return False
        for key in joined:
            self.give(key, older)
        for key in rest:
            self.give(key, younger)
        return True

    def _overlap(self, key: Key, other: Key) -> bool:
        (first, last), (begin, end) = self.spans[key], self.spans[other]
        return key[0] == other[0] and first <= end and begin <= last

    def forget(self, people: Iterable[int], tick: int) -> None:
        """Drops what is only needed for people who may still be corrected."""
        for person in people:
            for key in self.tracks.pop(person, ()):
                self.spans.pop(key, None)
        named, before = self.people, tick - STRAY_TICKS
        self.spans = {key: span for key, span in self.spans.items() if key in named or span[1] >= before}

    def recall(self, person: int, by: int | None = None) -> None:
        """Remembers a person again, and gives them the tracks of ``by``; earlier ones keep nothing but the name."""
        self.tracks.setdefault(person, {})
        for key in list(self.tracks.get(by, ())) if by is not None else ():
            self.give(key, person)

    def columns(self) -> dict[str, Any]:
        """For a snapshot."""
        named = [(*key, person, person in self.tracks) for key, person in self.people.items()]
        seen = [(*key, *span) for key, span in self.spans.items()]
        return {
            "named": np.array(named, np.int64).reshape(-1, 4),
            "spans": np.array(seen, np.int64).reshape(-1, 4),
            "renamed": np.array(sorted(self.renamed), np.int64).reshape(-1, 2),
        }

    @classmethod
    def from_columns(cls, arrays: Mapping[str, Any]) -> Names:
        """What ``columns`` was taken from."""
        names = cls(renamed={(camera, track) for camera, track in arrays["renamed"].tolist()})
        for camera, track, first, last in arrays["spans"].tolist():
            names.spans[camera, track] = first, last
        for camera, track, person, remembered in arrays["named"].tolist():
            names.people[camera, track] = person
            if remembered and (camera, track) in names.spans:
                names.tracks.setdefault(person, {})[camera, track] = None
        return names
