"""Settings of training a tagger of photographs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from volumen.settings.base import Count, Settings
from volumen.settings.comparing import words
from volumen.settings.photos import PhotoTraining
from volumen.settings.source import Path


def _named(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what is no word: nothing, as ``--drop-tags ""`` gives it, is no tag."""
    return tuple(tag for tag in tags if tag != "")


Tags = Annotated[tuple[str, ...], BeforeValidator(_named), *words("TAG,TAG", least=0)]
"""Tags, separated by commas."""


class TagChoice(Settings):
    """Which tags are learned, or compared by."""

    tags: Tags = Field((), description="Tags to learn; all that there are if not given")
    drop_tags: Tags = Field((), description="Tags to leave out")
    most_frequent: Count | None = Field(None, description="Learn only the tags that most photographs have, so many")


class TaggerTraining(TagChoice, PhotoTraining):
    """How a tagger is trained.

    Shared by a single run and by a comparison of several.
    """

    head: Literal["linear", "mlp"] = Field(
        "linear", description="From pooled features to tags: a linear layer, or one of 128 and dropout before it"
    )
    pos_weight: Literal["balanced", "none"] = Field(
        "none", description="Weigh having a tag by how many photographs lack it over how many have it, or not"
    )
    frozen_norms: Literal["measured", "kept"] = Field(
        "measured",
        description="Norm statistics of a frozen encoder: measured once, without tags, or those it came with",
    )
    score: Literal["auto", "f1", "micro_f1", "macro_f1", "loss"] = Field(
        "auto",
        description="Held-out score that says which weights, and which threshold, are best; auto is F1 example by "
        "example, or of having the tag where there is only one",
    )


class TrainTagger(TaggerTraining):
    """Train a tagger on photographs with tags, or with characters as tags; the run folder can be resumed."""

    example: ClassVar[str] = "volumen train tagger labels.csv --drop-tags skin,hair --out runs/tagger"

    encoder: Path | None = Field(
        None, description="Weights to start the encoder from, a file or a run; random if not given"
    )
    freeze: bool = Field(False, description="Keep the encoder as it is, and teach the head alone, without views")
