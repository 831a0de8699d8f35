"""Settings of pretraining an encoder on photographs."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Settings, Share
from volumen.settings.photos import PhotoTraining
from volumen.settings.source import Path
from volumen.settings.train_tagger import TagChoice


class Metric(Settings):
    """How embeddings of photographs are learned from triplets."""

    embedding: Count = Field(128, description="Length of an embedding, for triplets")
    miner: Literal["all", "semi-hard", "hard"] = Field(
        "all", description="Which triplets of a batch: all that violate the margin, semi-hard or hardest ones"
    )
    alike: Share = Field(0.25, description="Least overlap (IoU) of the tags of a positive pair")
    unlike: Share = Field(0.1, description="Largest overlap (IoU) of the tags of a negative pair")
    first_margin: float = Field(0.05, ge=0, description="Margin of the triplet loss at first")
    margin: float = Field(0.2, gt=0, description="Margin in the end; distances are at most 2")
    margin_rise: Share = Field(0.5, description="Share of the steps in which the margin rises")


class Masking(Settings):
    """How photographs are masked for reconstruction."""

    patch: Count = Field(32, description="Side of a masked patch in pixels, for SparK; a multiple of 32")
    masked: Share = Field(0.6, gt=0, lt=1, description="Share of the patches that are masked, for SparK")
    decoder_width: Count = Field(256, description="Channels of SparK's decoder at its deepest, a multiple of 32")


class PhotoPretraining(Metric, Masking, TagChoice, PhotoTraining):
    """How an encoder is pretrained.

    Shared by a single run and by a comparison of several.
    """

    @model_validator(mode="after")
    def _check_pretraining(self) -> Self:
        if self.unlike >= self.alike:
            raise ValueError(f"unlike must be below alike; got {self.unlike} and {self.alike}")
        if self.first_margin > self.margin:
            raise ValueError(f"the margin rises: first_margin {self.first_margin} is above margin {self.margin}")
        return self


class PretrainPhotos(PhotoPretraining):
    """Pretrain an encoder on photographs; the run folder can be resumed.

    By four-way rotation or masked reconstruction (SparK), which need no tags, or by triplets of tagged photographs.
    """

    example: ClassVar[str] = "volumen pretrain photos labels.csv --task rotation --out runs/turned"

    task: Literal["rotation", "triplet", "spark"] = Field(
        "rotation",
        description="Tell how a photograph was turned, bring those with like tags together, or paint what is masked",
    )
    fit: Literal["resize", "crop"] = Field(
        "resize", description="Bring whole photographs to the size, or cut boxes of it at native scale"
    )
    encoder: Path | None = Field(
        None, description="Weights to start the encoder from, a file or a run; random if not given"
    )

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        check_task(self.task, self)
        return self


def check_task(task: str, chosen: PhotoPretraining) -> None:
    """Raise a `ValueError` where a task cannot be learned with these settings."""
    height, width = chosen.size
    if task == "rotation" and height != width:
        raise ValueError(f"photographs that are turned must be square; got size {height},{width}")
    if task != "spark":
        return
    if chosen.patch % 32 or height % chosen.patch or width % chosen.patch or height * width < 2 * chosen.patch**2:
        raise ValueError(
            "patch must be a multiple of 32, and size multiples of it, two patches at least; got "
            f"{chosen.patch} and {height},{width}"
        )
    if chosen.decoder_width % 32:
        raise ValueError(f"decoder_width is halved five times: expected a multiple of 32, got {chosen.decoder_width}")
