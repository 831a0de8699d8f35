"""LineSplit: lines to learn from, to stop by and to score with; no writer, letter or page on two sides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.sources.lines.line import Line

Group = Literal["writer", "page"]

_SPLIT, _SHARE = crc32(b"split by group"), crc32(b"share of lines")  # apart from what else is drawn of a seed


@dataclass(frozen=True, kw_only=True)
class LineSplit:
    """Lines in three parts, each in the order of its list."""

    train: tuple[Line, ...]
    val: tuple[Line, ...]
    test: tuple[Line, ...]

    def shared(self, group: Group) -> tuple[str, ...]:
        """Return the writers, or pages, that have lines in more than one part, sorted: what leaks between them."""
        parts = [{getattr(line, group) for line in part} - {""} for part in (self.train, self.val, self.test)]
        counts = Counter(name for part in parts for name in part)
        return tuple(sorted(name for name, count in counts.items() if count > 1))


def group_of(line: Line) -> str:
    """Return what a line hangs together with: its writer, else its page, else itself."""
    return line.writer or line.page or line.name


def given_split(lines: Sequence[Line]) -> LineSplit:
    """Part lines as their list says; those of which it says nothing are learned from.

    Raises
    ------
    SettingsError
        If the list says nothing at all.
    """
    if not any(line.split for line in lines):
        raise SettingsError("Expected lines with a split, train, val or test; none has one. Split them by a group.")
    return LineSplit(
        train=tuple(line for line in lines if line.split in ("train", "")),
        val=tuple(line for line in lines if line.split == "val"),
        test=tuple(line for line in lines if line.split == "test"),
    )


def split_by(lines: Sequence[Line], group: Group, *, val: float = 0.1, test: float = 0.1, seed: int = 0) -> LineSplit:
    """Part lines so that a writer's, or a page's, stay together; the split of the list is passed over.

    Groups are shuffled; one after another goes to the test part if that brings its count nearer to the share wanted,
    else to the validation part likewise, else to the train part. A part that is wanted gets at least one group.

    Parameters
    ----------
    lines
        Each with a writer, or page.
    group
        What must not be on two sides. Where letters stand as writers, letters.
    val, test
        Shares of the lines; 0 for none.
    seed
        Shuffles the groups.

    Raises
    ------
    SettingsError
        If lines lack the group, there are fewer groups than parts, or the shares leave nothing to learn from.
    """
    if min(val, test) < 0 or val + test >= 1:
        raise SettingsError(f"Shares to hold out are 0 or more and leave some to learn from; got {val} and {test}.")
    without = sum(not getattr(line, group) for line in lines)
    if without:
        raise SettingsError(
            f"Expected lines with a {group}, to keep it on one side of the split; {without} of {len(lines)} have none."
        )
    counts = Counter(getattr(line, group) for line in lines)
    parts = {name: share * len(lines) for name, share in (("test", test), ("val", val)) if share > 0}
    if len(counts) <= len(parts):
        raise SettingsError(
            f"Expected at least {len(parts) + 1} of {group} for {len(parts) + 1} parts; the {len(lines)} lines have "
            f"{len(counts)}."
        )
    side = _sides(counts, parts, seed)
    return LineSplit(
        train=tuple(line for line in lines if getattr(line, group) not in side),
        val=tuple(line for line in lines if side.get(getattr(line, group)) == "val"),
        test=tuple(line for line in lines if side.get(getattr(line, group)) == "test"),
    )


def share_of_lines(lines: Sequence[Line], share: float, *, seed: int) -> tuple[Line, ...]:
    """Keep a share of lines, drawn; a smaller share of the same seed is a part of a larger one.

    Parameters
    ----------
    lines
        In an order that does not change.
    share
        In (0, 1]; at least one line is kept.
    seed
        Draws the order in which lines are taken.

    Raises
    ------
    SettingsError
        If the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise SettingsError(f"A label share lies in 0…1, 0 excluded; got {share}.")
    order = np.random.default_rng([seed, _SHARE]).permutation(len(lines))
    return tuple(lines[index] for index in sorted(order[: max(1, round(share * len(lines)))].tolist()))


def _sides(counts: Counter[str], wanted: dict[str, float], seed: int) -> dict[str, str]:
    """Return group -> part, for those that are held out."""
    names = sorted(counts)
    names = [names[index] for index in np.random.default_rng([seed, _SPLIT]).permutation(len(names))]
    side: dict[str, str] = {}
    for position, (part, target) in enumerate(wanted.items()):
        spare = len(wanted) - position  # groups that the other parts need
        held = 0
        for name in names:
            nearer = abs(held + counts[name] - target) < abs(held - target)
            if name not in side and nearer and len(names) - len(side) > spare:
                side[name] = part
                held += counts[name]
        if not held:
            side[min((name for name in names if name not in side), key=lambda name: counts[name])] = part
    return side
