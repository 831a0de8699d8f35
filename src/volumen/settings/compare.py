"""Settings of comparing encoders at the same task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from volumen.settings.base import Count
from volumen.settings.finetune import InkTraining, Score
from volumen.settings.source import Path

_PAPER: dict[str, Any] = {
    "layers": 20,
    "window": 320,
    "stride": 160,
    "input_size": 224,
    "sampling": "ink",
    "min_ink": 0.05,
    "split": "ordered",
    "held_out_share": 0.1,
    "normalization": "divide",
    "outside": "zero",
    "views": "grand_prize",
    "resized_crop": True,
    "encoder_name": "resnet50",
    "epochs": 100,
    "batch": 32,
    "learning_rate": 1e-4,
    "weight_decay": 1e-2,
    "clip_norm": 10.0,
    "label_smoothing": 0.0,
    "score": "loss",
    "patience": 0,
}
"""The report's experiment: crops with ink, the last tenth of them held out in order."""

_BEST = "best"  # what a run calls its weights

RANDOM = "random"
"""What the encoder without a weight file is called."""


def _parse_shares(value: Any) -> Any:
    """Read ``0.05,0.1,1``, or a list of such texts, as the command line gives them."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if isinstance(value, list | tuple):
        return tuple(part for item in value for part in (_parse_shares(item) if isinstance(item, str) else (item,)))
    return (value,)


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    """Sort from few labels to all."""
    if len(set(values)) < len(values):
        raise ValueError(f"each share may be given once; got {_as_text(values)}")
    return tuple(sorted(values))


def _as_text(values: tuple[float, ...]) -> str:
    return ",".join(str(value).removesuffix(".0") for value in values)  # every digit: it is read again


LabelShares = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...],
    BeforeValidator(_parse_shares),
    AfterValidator(_distinct),
    PlainSerializer(_as_text),
    Field(json_schema_extra={"metavar": "X,X"}),
]
"""Shares of the labels, each in (0, 1], separated by commas."""


class CompareInk(InkTraining):
    """Train from random weights and from encoder files, frozen and full, over several seeds: one table, one report."""

    positional: ClassVar[tuple[str, ...]] = ("segments",)
    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": _PAPER}

    out: Path = Field(description="Folder of the comparison")
    resume: bool = Field(
        True, description="Go on with the comparison at the output path, which must have these settings"
    )
    encoder: tuple[Path, ...] = Field(
        (), description="Encoder weights to compare with random ones, named in the table by their file or their run"
    )
    mode: Literal["honest", "paper"] = Field(
        "honest", description="Where options are not given: blocks behind a guard band, or the October report's recipe"
    )
    seeds: Count = Field(3, description="Runs of every cell, each of another seed")
    share: LabelShares = Field((1.0,), min_length=1, description="Shares of the labels to learn from")
    ablate_views: bool = Field(False, description="Also train from random weights without augmentation")
    split_seed: int = Field(0, ge=0, description="Seed of what is held out, the same in all runs")
    block: Count = Field(128, description="Side of the blocks that the bootstrap draws, in pixels")
    resamples: Count = Field(500, description="Draws of the bootstrap")
    places: Count = Field(2, description="How many places to show in pictures")

    seed: int = Field(0, ge=0, description="The first seed; the others follow it")
    score: Score = Field("loss", description="Held-out score that says which weights are best")
    patience: int = Field(0, ge=0, description="Stop after so many epochs without a better score; 0 never stops")

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        if self.devices * self.num_nodes > 1:
            raise ValueError("a comparison trains its runs one after another on one device; give devices and nodes 1")
        twice = [name for name, count in Counter((RANDOM, *self.encoder_names)).items() if count > 1]
        if twice:
            raise ValueError(
                f"encoder files are told apart by their names, which must differ from each other and from {RANDOM!r}; "
                f"got {twice[0]!r} more than once. Rename a file, or its folder"
            )
        if self.ablate_views and self.views == "none":
            raise ValueError("ablate_views compares with training without augmentation, which views 'none' is already")
        return self

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """Name of each encoder file: its own without the suffix, or that of the run whose best weights it holds.

        Where two files would share one, their folders' names stand before their own.
        """
        paths = [PurePath(path) for path in self.encoder]
        names = [path.parent.name if path.stem == _BEST and path.parent.name else path.stem for path in paths]
        return tuple(
            name if names.count(name) == 1 else f"{path.parent.name}-{path.stem}"
            for name, path in zip(names, paths, strict=True)
        )
