"""Settings of comparing encoders of photographs by the tags that they tell, and by what they find alike."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from volumen.settings.base import Count
from volumen.settings.comparing import Comparison, check_one_device, words
from volumen.settings.pretrain_photos import PhotoPretraining, check_task
from volumen.settings.source import Path
from volumen.settings.train_tagger import TaggerTraining, Tags

IMAGENET = "imagenet"
"""What the encoder with the weights of the file that is named so is called."""

Route = Literal[
    "scratch-plain",
    "scratch",
    "rotation",
    "spark",
    "triplet",
    "triplet-scratch",
    "finetuned-rotation",
    "finetuned-spark",
    "finetuned-imagenet",
    "segmenter",
]

STARTS: dict[str, str] = {
    "triplet-scratch": "scratch",
    "finetuned-rotation": "rotation",
    "finetuned-spark": "spark",
}
"""Route -> the one whose encoder it starts from."""


Routes = Annotated[tuple[Route, ...], *words("NAME,NAME")]
"""Routes to an encoder, separated by commas."""


class CompareApparel(Comparison, PhotoPretraining, TaggerTraining):
    """Compare encoders by several routes: tags, turns, masks and what each finds alike, in one table, one report.

    Routes: a tagger from random weights, without augmentation and with it; pretraining by rotation, masked
    reconstruction and triplets; taggers that start from these; and a segmenter, whose masks take the background away.
    """

    example: ClassVar[str] = (
        "volumen compare apparel labels.csv --routes scratch,rotation,finetuned-rotation --out runs/comparison"
    )
    positional: ClassVar[tuple[str, ...]] = ("photos",)

    imagenet: Path | None = Field(
        None,
        description="Weights of the encoder pretrained on ImageNet, a file that you have; without it the rows that "
        "need it say so. Rotation, triplets and the segmenter start from it where it is given",
    )
    routes: Routes = Field(
        get_args(Route),
        description="Routes to train",
    )
    drop_tags: Tags = Field(("skin", "hair", "null"), description="Tags to leave out: what is no apparel")
    pretrain_epochs: Count = Field(100, description="Passes over the photographs when pretraining")
    segment_epochs: Count = Field(100, description="Passes over the photographs with masks")
    segment_batch: Count = Field(16, description="Photographs in a step of the segmenter")
    neighbours: Count = Field(5, description="How many photographs to find for each query")
    queries: Count = Field(500, description="Most held-out photographs to ask with, drawn")
    examples: int = Field(6, ge=0, description="How many queries to show in each picture of what was found")
    patience: int = Field(15, ge=0, description="Stop after so many epochs without a better score; 0 never stops")

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        check_one_device(self)
        for route, start in STARTS.items():
            if route in self.routes and start not in self.routes:
                raise ValueError(f"route {route} starts from {start}, which is not among the routes: add it")
        if any(side % 32 for side in self.size):
            raise ValueError(f"size must be multiples of 32; got {self.size[0]},{self.size[1]}")
        for task in self.routes:
            check_task(task, self)
        return self
