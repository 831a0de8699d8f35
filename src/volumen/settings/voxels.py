"""How voxels come to a model: shared by every verb that trains on volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from volumen.settings.base import Settings

Range = Literal["divide", "clip", "percentile", "robust"]
Outside = Literal["papyrus", "zero"]


class Voxels(Settings):
    """Range of the voxels, and what stands beside the papyrus; both stored in the checkpoint, kept at prediction."""

    normalization: Range = Field(
        "percentile",
        description="How voxels are brought to 0…1: by their type's range (divide), that cut at 200 of 255 (clip), "
        "the papyrus' 1st and 99th percentile, or its median and spread (robust)",
    )
    outside: Outside = Field(
        "papyrus",
        description="What a model sees where every layer is 0: papyrus as it is on average, layer by layer, or 0",
    )
