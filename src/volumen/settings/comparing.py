"""What the settings of every comparison share: its seeds and shares, and how weight files are called in its table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from volumen.settings.base import Count, Settings
from volumen.settings.computing import Computing
from volumen.settings.source import Path

RANDOM = "random"
"""What the encoder without a weight file is called."""

SEED = "{seed}"
"""What stands in a path for the seed of a run."""

W = TypeVar("W", bound=str)

_BEST = "best"  # what a run calls its weights
_OF_SEED = re.compile(r"[-_.]?(seed[-_]?)?\{seed\}")


def listed(value: Any) -> Any:
    """Read ``a,b,c``, or a list of such texts, as the command line gives them."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if isinstance(value, list | tuple):
        return tuple(part for item in value for part in (listed(item) if isinstance(item, str) else (item,)))
    return (value,)


def words(metavar: str, *, least: int = 1) -> tuple[Any, ...]:
    """Return how words separated by commas are read, checked and written: the annotations of such a setting."""
    return (
        BeforeValidator(listed),
        AfterValidator(_each_once),
        PlainSerializer(",".join),
        Field(min_length=least, json_schema_extra={"metavar": metavar}),
    )


def _each_once(given: tuple[W, ...]) -> tuple[W, ...]:
    if len({*given}) < len(given):
        raise ValueError(f"each may be given once; got {','.join(given)}")
    return given


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    """Sort from few labels to all."""
    if len(set(values)) < len(values):
        raise ValueError(f"each share may be given once; got {_as_text(values)}")
    return tuple(sorted(values))


def _as_text(values: tuple[float, ...]) -> str:
    return ",".join(str(value).removesuffix(".0") for value in values)  # every digit: it is read again


LabelShares = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...],
    BeforeValidator(listed),
    AfterValidator(_distinct),
    PlainSerializer(_as_text),
    Field(json_schema_extra={"metavar": "X,X"}),
]
"""Shares of the labels, each in (0, 1], separated by commas."""


class Comparison(Settings):
    """What every comparison can be told: where it is, and how many runs each cell of its table has."""

    out: Path = Field(description="Folder of the comparison")
    resume: bool = Field(
        True,
        description="Go on with the comparison at the output path, which must have these settings, or fewer seeds or "
        "cells",
    )
    seeds: Count = Field(3, description="Runs of every cell, each of another seed")
    seed: int = Field(0, ge=0, description="The first seed; the others follow it")
    split_seed: int = Field(0, ge=0, description="Seed of what is held out, the same in all runs")
    resamples: Count = Field(500, description="Draws of the bootstrap")
    patience: int = Field(0, ge=0, description="Stop after so many epochs without a better score; 0 never stops")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every cell's runs."""
        return tuple(range(self.seed, self.seed + self.seeds))


def weight_names(files: Sequence[str]) -> tuple[str, ...]:
    """Name weight files for a table: by their own names without suffix, or by the runs whose best weights they hold.

    Where two files would share one, their folders' names stand before their own. The place of a seed is passed over.

    Examples
    --------
    >>> weight_names(["runs/long/best.safetensors", "imagenet.pth"])
    ('long', 'imagenet')
    >>> weight_names(["runs/seqclr/seed{seed}", "runs/flip-{seed}/best.safetensors"])
    ('seqclr', 'flip')
    """
    parts = [_parts(file) for file in files]
    names = [part[-2] if part[-1] == _BEST and len(part) > 1 else part[-1] for part in parts]
    return tuple(
        name if names.count(name) == 1 else "-".join(part[-2:]) for name, part in zip(names, parts, strict=True)
    )


def check_one_device(chosen: Computing) -> None:
    """Raise a `ValueError` where a comparison is told to train on several devices."""
    if chosen.devices * chosen.num_nodes > 1:
        raise ValueError("a comparison trains its runs one after another; give devices and num_nodes 1")


def check_told_apart(names: Sequence[str]) -> None:
    """Raise a `ValueError` where the table could not tell weights apart by these names."""
    twice = [name for name, count in Counter((RANDOM, *names)).items() if count > 1]
    if twice:
        raise ValueError(
            f"encoder files are told apart by their names, which must differ from each other and from {RANDOM!r}; "
            f"got {twice[0]!r} more than once. Rename a file, or its folder"
        )


def _parts(file: str) -> tuple[str, ...]:
    """Return the folders of a file and its name without suffix, without what is only the place of a seed."""
    path = PurePath(file)
    parts = (*path.parent.parts, path.stem if path.suffix != SEED else path.name)
    kept = tuple(part for part in (_OF_SEED.sub("", part) for part in parts) if part)
    return kept or (path.stem,)
