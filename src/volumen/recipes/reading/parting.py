"""parted: which lines are learned from, which are held out, and which are kept for the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from volumen.crops.line_splits import Group, LineSplit, given_split, split_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.settings.lines import LineTraining
    from volumen.sources.lines.line import Line


def parted(lines: Sequence[Line], settings: LineTraining) -> tuple[LineSplit, str]:
    """Part lines as the settings say; in words, what keeps the parts apart.

    What the list marks as test is the test, however the rest is parted. What is held out is drawn among the lines with
    a transcript, where there are any; those without follow their writer or page, else are learned from. So pretraining,
    which takes those too, learns from none that a reader of the same lists is scored on.

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
            return split, "as the list says"
        unit = _unit(rest)
    held_out = _drawn(rest, unit, settings)
    split = LineSplit(
        train=tuple(line for line in rest if line.name not in held_out),
        val=tuple(line for line in rest if line.name in held_out),
        test=test,
    )
    return split, f"as the list says, held out by {unit}" if by == "list" else f"by {unit}"


def _unit(lines: Sequence[Line]) -> str:
    """Return the largest unit that keeps parts apart: writers, pages, lines."""
    for group in get_args(Group):
        names = {getattr(line, group) for line in _transcribed(lines)}
        if "" not in names and len(names) > 1:
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
