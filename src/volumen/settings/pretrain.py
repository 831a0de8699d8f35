"""Settings of pretraining on unlabelled data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Layers, Region, Share, Side
from volumen.settings.computing import Computing
from volumen.settings.source import LabelPaths, Path, Paths
from volumen.settings.voxels import Voxels

_PAPER: dict[str, Any] = {
    "masked": 0.6,
    "targets": "patch",
    "decoder_width": 768,
    "views": "flips",
    "resized_crop": True,
    "optimizer": "lamb",
    "learning_rate": 2e-4,
    "weight_decay": 0.04,
    "final_weight_decay": 0.2,
    "clip_norm": 5.0,
    "epochs": 1600,
    "warm_up_epochs": 40,
}
"""What SparK's authors publish for ImageNet; Tian et al., "Designing BERT for Convolutional Networks", ICLR 2023."""


class PretrainSpark(LabelPaths, Voxels, Computing):
    """Pretrain an encoder by masked reconstruction (SparK), without labels; the run can be resumed at any moment."""

    example: ClassVar[str] = "volumen pretrain spark 20230827161847.zarr 20231210121321.zarr --out runs/spark"
    positional: ClassVar[tuple[str, ...]] = ("segments",)
    modes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": _PAPER}

    segments: Paths = Field(
        min_length=1,
        description="Segments, images, or .tsv lists of text lines to learn from; labels are not looked at",
    )
    out: Path = Field(description="Run folder to make")
    overwrite: bool = Field(False, description="Replace what is at the output path")
    mode: Literal["practical", "paper"] = Field(
        "practical", description="Where options are not given: what suits small data, or SparK as published"
    )

    layers: Layers | None = Field(
        None, description="How many centre layers, or which layers; 20 of a volume, 1 of an image if not given"
    )
    layer_stride: Count | None = Field(
        None, description="Learn from windows of as many layers every so many through the whole depth"
    )
    window: Side = Field(
        (320, 320), title="Window (px)", description="A training crop in pixels: its side, or height and width"
    )
    stride: Count | None = Field(
        None, title="Stride (px)", description="Distance between crops in pixels; half the window if not given"
    )
    input_size: Side | None = Field(
        None,
        title="Input size (px)",
        description="What a crop is cut and resized to, multiples of the patch; 0.7 windows if not given",
    )
    region: Region | None = Field(None, description="Learn and score only inside this box")
    held_out_region: Region | None = Field(None, description="Score in this box, and learn nowhere near it")
    held_out_share: Share = Field(0.1, gt=0, lt=1, description="Share of the blocks, or of the lines, to hold out")
    held_out_crops: Count = Field(64, description="Most crops to score, spread evenly over what is held out")
    views: Literal["none", "flips", "mild"] = Field(
        "flips",
        description="Augmentations: none, flips up and down, left and right, or with turns, light and noise (mild)",
    )
    resized_crop: bool = Field(True, description="Cut a random part of each crop and resize it to the input size")

    encoder_name: str = Field("resnet50", description="Any smp or timm convolutional encoder that can run packed")
    encoder: Path | None = Field(
        None, description="Weights to start the encoder from, a file or a run; random if not given"
    )
    patch: Count = Field(
        32, title="Patch (px)", description="Side of a masked patch in pixels of the input; a multiple of 32"
    )
    masked: Share = Field(0.6, gt=0, lt=1, description="Share of the patches that are masked")
    targets: Literal["patch", "layer", "pixels", "gradient"] = Field(
        "patch",
        description="Reconstruct each patch normalised, each layer of a patch normalised, the voxels, or how steeply "
        "they change, cell by cell",
    )
    decoder_width: Count = Field(256, description="Channels of the decoder at its deepest, a multiple of 32")

    batch: Count = Field(64, description="Crops in a step, over all devices")
    epochs: Count = Field(200, description="Passes over the crops")
    warm_up_epochs: int = Field(5, ge=0, description="Epochs in which the learning rate rises")
    optimizer: Literal["adamw", "lamb"] = Field("adamw", description="Optimizer; published: lamb")
    learning_rate: float = Field(4e-3, gt=0, description="Peak learning rate for a batch of 256; scaled by batch / 256")
    weight_decay: float = Field(0.04, ge=0, description="Weight decay at first")
    final_weight_decay: float = Field(0.2, ge=0, description="Weight decay at the end, reached along a cosine")
    clip_norm: float = Field(5.0, gt=0, description="Largest gradient norm")
    patience: int = Field(0, ge=0, description="Stop after so many epochs without a lower loss; 0 never stops")

    picture_epochs: Count = Field(10, description="Draw reconstructions of held-out crops every so many epochs")
    probe_epochs: int = Field(
        0, ge=0, description="Where there are labels, score a linear probe every so many epochs; 0 never does"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch % 32:
            raise ValueError(f"patch must be a multiple of 32; got {self.patch}")
        if any(side % self.patch for side in self.model_size):
            height, width = self.model_size
            raise ValueError(f"input_size must be multiples of the patch, {self.patch}; got {height},{width}")
        if self.decoder_width % 32:
            raise ValueError(f"decoder_width is halved five times: expected a multiple of 32, got {self.decoder_width}")
        patches = self.model_size[0] * self.model_size[1] // self.patch**2
        if patches < 2:
            raise ValueError(f"an input of one patch of {self.patch} px has nothing to hide; give a larger input_size")
        if not self.resized_crop and any(a > b for a, b in zip(self.model_size, self.window, strict=True)):
            raise ValueError(f"input_size {self.model_size} is larger than the window {self.window}")
        return self

    @property
    def crop_stride(self) -> tuple[int, int]:
        """Distance between crops in pixels, down and across."""
        height, width = self.window
        return (self.stride or max(1, height // 2), self.stride or max(1, width // 2))

    @property
    def model_size(self) -> tuple[int, int]:
        """Height and width of what the model sees, in pixels; a window of 320 gives the published 224."""
        if self.input_size is not None:
            return self.input_size
        height, width = (max(self.patch, self.patch * round(0.7 * side / self.patch)) for side in self.window)
        return (height, width)
