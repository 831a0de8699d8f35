"""Settings of comparing models by the characters that they find in photographs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count
from volumen.settings.comparing import Comparison, check_one_device, words
from volumen.settings.train_segmenter import SegmenterTraining

Models = Annotated[tuple[Literal["simple_segnet", "custom_unet", "unet"], ...], *words("NAME,NAME")]
"""Models, separated by commas."""

Losses = Annotated[tuple[Literal["dice", "bce", "bce_dice"], ...], *words("NAME,NAME")]
"""Losses, separated by commas."""


class CompareCharacters(Comparison, SegmenterTraining):
    """Train models by several losses to find characters in photographs, over several seeds: one table, one report."""

    example: ClassVar[str] = "volumen compare characters scenes.jsonl --model custom_unet,unet --out runs/comparison"
    positional: ClassVar[tuple[str, ...]] = ("photos",)

    model: Models = Field(
        ("simple_segnet", "custom_unet", "unet"),
        description="Models to train; each is claimed to beat those that are named before it",
    )
    loss: Losses = Field(("dice", "bce"), description="Losses to train by; the first is claimed to beat the others")
    examples: Count = Field(3, description="How many held-out photographs to show in pictures")

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        check_one_device(self)
        return self
