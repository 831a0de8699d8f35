"""Settings of comparing encoders by the ink that they find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count
from volumen.settings.comparing import Comparison, LabelShares, check_one_device, check_told_apart, weight_names
from volumen.settings.finetune import InkTraining, Score
from volumen.settings.source import Paths

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


class CompareInk(Comparison, InkTraining):
    """Train from random weights and from encoder files, frozen and full, over several seeds: one table, one report."""

    example: ClassVar[str] = (
        "volumen compare ink 20230827161847.zarr --encoder runs/spark --share 0.1,1 --out runs/comparison"
    )
    positional: ClassVar[tuple[str, ...]] = ("segments",)
    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": _PAPER}

    encoder: Paths = Field(
        (), description="Encoder weights to compare with random ones, named in the table by their file or their run"
    )
    mode: Literal["honest", "paper"] = Field(
        "honest", description="Where options are not given: blocks behind a guard band, or the October report's recipe"
    )
    share: LabelShares = Field((1.0,), min_length=1, description="Shares of the labels to learn from")
    ablate_views: bool = Field(False, description="Also train from random weights without augmentation")
    block: Count = Field(128, description="Side of the blocks that the bootstrap draws, in pixels")
    places: Count = Field(2, description="How many places to show in pictures")

    score: Score = Field("loss", description="Held-out score that says which weights are best")

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        check_one_device(self)
        check_told_apart(self.encoder_names)
        if self.ablate_views and self.views == "none":
            raise ValueError("ablate_views compares with training without augmentation, which views 'none' is already")
        return self

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """Name of each encoder file in the table."""
        return weight_names(self.encoder)
