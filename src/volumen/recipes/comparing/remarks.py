"""Remarks: what every comparison says of its numbers, whatever is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEW_SEEDS = 5


def few_seeds(seeds: int) -> Iterator[str]:
    """Say how little few seeds show."""
    if seeds < _FEW_SEEDS:
        yield (
            f"{seeds} seed{'s say' if seeds > 1 else ' says'} little: intervals over so few are wide, "
            "and a difference that is undecided is not one that is not there. Five or more are worth their time."
        )
