"""Settings that every verb over photographs shares: where they are, the size they are seen at, how they are parted."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from volumen.settings.base import Count, Settings, Share, Side
from volumen.settings.computing import Computing
from volumen.settings.source import Path, Paths


class PhotoSource(Settings):
    """Lists or folders of photographs, and what is held out of them."""

    positional: ClassVar[tuple[str, ...]] = ("photos",)

    photos: Paths = Field(
        min_length=1,
        description="Photographs: a .csv of images, masks and tags, CTW's .jsonl, polygons as .json, or a folder",
    )
    size: Side = Field((224, 224), description="Height and width in pixels that the model sees; one number for both")
    held_out_share: Share = Field(0.1, gt=0, lt=1, description="Share of the photographs to hold out, drawn")
    split_seed: int = Field(0, ge=0, description="Seed of what is held out")


class PhotoTraining(PhotoSource, Computing):
    """How a model of photographs is trained, whatever it learns."""

    out: Path = Field(description="Run folder to make")
    overwrite: bool = Field(False, description="Replace what is at the output path")

    views: Literal["none", "flip_crop"] = Field(
        "flip_crop", description="Augmentations: none, or a random crop and a flip left to right"
    )
    encoder_name: str = Field(
        "resnet18",
        description="Any smp or timm convolutional encoder; where a file of weights says which it holds, that one",
    )
    least_loaded: Share = Field(0.5, description="Least share of the encoder that its weight file must hold")

    batch: Count = Field(128, description="Photographs in a step, over all devices")
    epochs: Count = Field(100, description="Passes over the photographs")
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate of Adam at first")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay; 0 is plain Adam")
    clip_norm: float = Field(10.0, gt=0, description="Largest gradient norm")
    plateau: int = Field(
        5,
        ge=0,
        description="Divide the rate by 10 after so many epochs without a lower held-out loss; 0 never does",
    )
    patience: int = Field(15, ge=0, description="Stop after so many epochs without a better score; 0 never stops")
