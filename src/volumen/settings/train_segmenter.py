"""Settings of training a segmenter of photographs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from volumen.settings.base import Count, Side
from volumen.settings.comparing import listed
from volumen.settings.photos import PhotoTraining
from volumen.settings.source import Path

STRIDE = 32
"""Sides of what any segmenter sees are multiples of it, in px."""

MaskValues = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(listed),
    PlainSerializer(lambda values: ",".join(map(str, values))),
    Field(json_schema_extra={"metavar": "N,N"}),
]
"""Values of a mask, separated by commas."""


class SegmenterTraining(PhotoTraining):
    """How a segmenter is trained.

    Shared by a single run and by a comparison of several.
    """

    size: Side = Field((512, 512), description="Height and width in pixels that the model sees, multiples of 32")
    fit: Literal["resize", "crop"] = Field(
        "resize", description="Bring whole photographs to that size, or cut boxes of it at native scale, for tiling"
    )
    background: MaskValues = Field((0,), description="Values of masks that are background; all others are marked")
    model_width: float = Field(
        1.0, ge=1 / 32, le=4, description="Channels of SimpleSegNet and CustomUNet, as a share of the published ones"
    )

    batch: Count = Field(8, description="Photographs in a step, over all devices")
    learning_rate: float = Field(1e-4, gt=0, description="Learning rate of Adam")
    plateau: int = Field(
        0,
        ge=0,
        description="Divide the rate by 10 after so many epochs without a lower held-out loss; 0 never does",
    )
    patience: int = Field(0, ge=0, description="Stop after so many epochs without a better score; 0 never stops")
    score: Literal["iou_hard_pooled", "iou_hard_image", "iou_soft_pooled", "iou_soft_image", "loss"] = Field(
        "iou_hard_pooled", description="Held-out score that says which weights are best"
    )

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if any(side % STRIDE for side in self.size):
            raise ValueError(f"size must be multiples of {STRIDE}; got {self.size[0]},{self.size[1]}")
        return self


class TrainSegmenter(SegmenterTraining):
    """Train a segmenter on photographs with polygons or masks; the run folder can be resumed."""

    example: ClassVar[str] = "volumen train segmenter scenes.jsonl --out runs/characters"

    model: Literal["simple_segnet", "custom_unet", "unet"] = Field(
        "custom_unet", description="SimpleSegNet, CustomUNet, or a U-Net over the encoder that is named"
    )
    loss: Literal["dice", "bce", "bce_dice"] = Field(
        "dice", description="Dice on probabilities, cross-entropy, or the mean of both"
    )
    encoder: Path | None = Field(
        None, description="Weights to start the encoder from, a file or a run; random if not given"
    )
