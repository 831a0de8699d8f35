"""Settings of supervised training."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Layers, Region, Share
from volumen.settings.computing import Computing
from volumen.settings.source import LabelPaths, Path, Paths
from volumen.settings.voxels import Voxels

Score = Literal["average_precision", "auc", "dice", "f05", "loss"]


class InkTraining(LabelPaths, Voxels, Computing):
    """How an ink model is trained.

    Shared by a single run and by a comparison of several.
    """

    positional: ClassVar[tuple[str, ...]] = ("segments",)

    segments: Paths = Field(
        min_length=1, description="Segments to learn from: layer folders, TIFF, .npy or zarr, local or URLs"
    )
    out: Path = Field(description="Folder to make")
    overwrite: bool = Field(False, description="Replace what is at the output path")

    layers: Layers = Field(20, description="How many centre layers, or which layers, the model sees")
    window: int = Field(320, ge=32, title="Window (px)", description="Side of a training crop in pixels")
    stride: Count | None = Field(
        None, title="Stride (px)", description="Distance between crops in pixels; half the window if not given"
    )
    input_size: int | None = Field(
        None,
        ge=32,
        title="Input size (px)",
        description="Side a crop is cut and resized to, a multiple of 32; 0.7 windows if not given",
    )
    sampling: Literal["ink", "mask"] = Field(
        "ink", description="Learn from crops that hold enough ink, or from all inside the mask"
    )
    min_ink: Share = Field(0.05, description="Least share of ink in a crop, for sampling 'ink'")
    region: Region | None = Field(None, description="Learn and score only inside this box")
    held_out_region: Region | None = Field(None, description="Score in this box, and learn nowhere near it")
    split: Literal["blocks", "ordered"] = Field(
        "blocks", description="Hold out whole blocks behind a guard band, or the last crops in order (leaky)"
    )
    held_out_share: Share = Field(0.2, gt=0, lt=1, description="Share of the crops or blocks to hold out")
    views: Literal["none", "flips", "mild", "grand_prize"] = Field(
        "grand_prize",
        description="Augmentations: none, flips, with turns, light and noise (mild), or also depth, blur and holes",
    )
    resized_crop: bool = Field(True, description="Cut a random part of each crop and resize it to the input size")

    encoder_name: str = Field("resnet50", description="Any smp or timm convolutional encoder")
    adapt_channels: bool = Field(
        False, description="Adapt encoder weights made for another number of layers: their mean over the layers"
    )
    least_loaded: Share = Field(0.5, description="Least share of the encoder that its weight file must hold")

    frozen_norms: Literal["measured", "kept"] = Field(
        "measured",
        description="Norm statistics of a frozen encoder: measured once, without labels, or those it came with",
    )

    epochs: Count = Field(100, description="Passes over the crops")
    warm_up_epochs: int = Field(0, ge=0, description="Epochs in which the learning rate rises")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of AdamW")
    encoder_lr_mult: float = Field(
        1.0, gt=0, description="Learning rate of an encoder that starts from weights, over that of the rest"
    )
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW")
    clip_norm: float = Field(10.0, gt=0, description="Largest gradient norm")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="How far targets are moved from 0 and 1 towards one half"
    )
    score: Score = Field("average_precision", description="Held-out score that says which weights are best")
    patience: int = Field(20, ge=0, description="Stop after so many epochs without a better score; 0 never stops")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.input_size is not None and self.input_size % 32:
            raise ValueError(f"input_size must be a multiple of 32; got {self.input_size}")
        if self.input_size is not None and self.input_size > self.window and not self.resized_crop:
            raise ValueError(f"input_size {self.input_size} is larger than the window of {self.window}")
        return self

    @property
    def crop_stride(self) -> int:
        """Distance between crops in pixels."""
        return self.stride or max(1, self.window // 2)

    @property
    def model_size(self) -> int:
        """Side of what the model sees in training, in pixels; 320 gives the report's 224."""
        return self.input_size or max(32, 32 * round(0.7 * self.window / 32))


class Finetune(InkTraining):
    """Train a ResNet-UNet on labelled segments; the run folder can be resumed at any moment."""

    example: ClassVar[str] = "volumen finetune 20230827161847.zarr --encoder runs/spark --out runs/first"

    out: Path = Field(description="Run folder to make")
    encoder: Path | None = Field(
        None, description="Weights to start the encoder from, a file or a run; random if not given"
    )
    start: Path | None = Field(None, description="Checkpoint or run to go on learning from: encoder and decoder")
    freeze: bool = Field(
        False, title="Freeze encoder", description="Keep the encoder as it is; see also --frozen-norms"
    )
    label_share: Share = Field(
        1.0, gt=0, description="Share of the labels to learn from, all in one place; what is held out stays the same"
    )
    split_seed: int | None = Field(None, ge=0, description="Seed of what is held out; the seed if not given")

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start is not None and self.encoder is not None:
            raise ValueError("start brings its own encoder; give start or encoder, not both")
        return self
