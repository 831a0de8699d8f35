"""How voxels come to a model: shared by every verb that trains on volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from volumen.settings.base import Settings


class Voxels(Settings):
    """Range of the voxels, and what stands beside the papyrus; both stored in the checkpoint, kept at prediction."""

    normalization: Literal["divide", "clip", "percentile", "robust"] = Field(
        "percentile", description="How voxels are brought to 0…1; stored in the checkpoint and kept at prediction"
    )
    outside: Literal["papyrus", "zero"] = Field(
        "papyrus",
        description="What a model sees where every layer is 0: papyrus as it is on average, layer by layer, or 0",
    )
