"""parted: which lines are learned from, which are held out, and which are kept for the test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from volumen.crops.line_splits import Group, LineSplit, given_split, group_of, split_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.settings.lines import LineTraining
    from volumen.sources.lines.line import Line


_NAMED = 3  # writers that a remark names


@dataclass(frozen=True, kw_only=True)
class Parting:
    """How lines were parted.

    Parameters
    ----------
    split
        What is learned from, held out, and kept for the test.
    by
        What keeps the parts apart, in words.
    remarks
        What to know before trusting scores: who stands on both sides, which lines lack what others are parted by.
    """

    split: LineSplit
    by: str
    remarks: tuple[str, ...] = ()


def parted(lines: Sequence[Line], settings: LineTraining) -> Parting:
    """Part lines as the settings say.

    What the list marks as test is the test, however the rest is parted. What is held out is drawn among the lines with
    a transcript, where there are any; those without follow their writer or page, else are learned from. So pretraining,
    which takes those too, learns from none that a reader of the same lists is scored on.

    Where the settings leave the choice, writers are kept together if there are several, else pages; a line that lacks
    its writer goes with its page, and one that lacks both alone.

    Raises
    ------
    SettingsError
        The lines cannot be parted as asked for.
    """
    test = tuple(line for line in lines if line.split == "test")
    rest = [line for line in lines if line.split != "test"]
    by = settings.split if settings.split != "auto" else "list" if any(line.split for line in lines) else _unit(rest)
    unit = by
    if by == "list":
        split = given_split(lines)
        if split.val:
            return Parting(split=split, by="as the list says", remarks=_shared(split))
        unit = _unit(rest)
    given = settings.split == unit
    held_out = _drawn(rest if given else [_grouped(line, unit) for line in rest], unit, settings)
    split = LineSplit(
        train=tuple(line for line in rest if line.name not in held_out),
        val=tuple(line for line in rest if line.name in held_out),
        test=test,
    )
    by = f"as the list says, held out by {unit}" if by == "list" else f"by {unit}"
    return Parting(split=split, by=by, remarks=() if given else (*_lacking(rest, unit), *_shared(split)))


def _shared(split: LineSplit) -> tuple[str, ...]:
    """Say who has lines both among those learned from and among those scored on."""
    for group in get_args(Group):
        names = split.shared(group)
        if names:
            named = ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
            return (
                f"{len(names)} {group}s have lines in more than one part ({named}): scores may be better than for a "
                f"{group} who was never seen. Part them by {group} (--split {group}), or mark the parts otherwise.",
            )
    return ()


def _lacking(lines: Sequence[Line], unit: str) -> tuple[str, ...]:
    """Say how many lines do not tell what the others are parted by."""
    without = sum(not getattr(line, unit) for line in lines) if unit in get_args(Group) else 0
    if not without:
        return ()
    return (
        f"{without} of {len(lines)} lines have no {unit}; to keep the parts apart, each goes "
        f"{'with its page, or ' if unit == 'writer' else ''}alone.",
    )


def _grouped(line: Line, unit: str) -> Line:
    """Return a line with what it is parted by, in place of what it lacks."""
    if unit not in get_args(Group) or getattr(line, unit):
        return line
    return replace(line, writer=group_of(line)) if unit == "writer" else replace(line, page=group_of(line))


def _unit(lines: Sequence[Line]) -> str:
    """Return the largest unit that keeps parts apart: writers, pages, lines."""
    for group in get_args(Group):
        names = {getattr(line, group) for line in _transcribed(lines)} - {""}
        if len(names) > 1:
            return str(group)
    return "line"


def _drawn(lines: Sequence[Line], unit: str, settings: LineTraining) -> set[str]:
    """Return the names of the lines that are held out."""
    share, seed, candidates = settings.held_out_share, settings.split_seed, _transcribed(lines)
    if unit in get_args(Group):
        group = cast("Group", unit)
        apart = {getattr(line, group) for line in split_by(candidates, group, val=share, test=0, seed=seed).val}
        return {line.name for line in lines if getattr(line, group) in apart}
    count = min(max(1, round(share * len(candidates))), len(candidates) - 1)
    return {candidates[index].name for index in np.random.default_rng(seed).permutation(len(candidates))[:count]}


def _transcribed(lines: Sequence[Line]) -> Sequence[Line]:
    return [line for line in lines if line.text.strip()] or lines
