"""How a training is carried out, whatever it learns: shared by every verb that trains."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Device, MemoryFraction, Precision, Settings


class Computing(Settings):
    """Going on, batch, seed, devices, number format, and how often a run is saved."""

    resume: bool = Field(False, description="Go on with the run at the output path, which must have these settings")

    batch: Count = Field(16, description="Crops in a step, over all devices")
    seed: int = Field(0, ge=0, description="Seed of weights, crops and augmentations")
    device: Device = "auto"
    devices: Count = Field(1, description="Number of devices, or of processes on a CPU")
    num_nodes: Count = Field(1, description="Number of machines")
    memory_fraction: MemoryFraction = 1.0
    precision: Precision = "auto"
    save_seconds: float = Field(
        60.0,
        ge=0,
        title="Save every (s)",
        description="Seconds between savings of the resumable state within an epoch",
    )

    @model_validator(mode="after")
    def _divide(self) -> Self:
        if self.batch % (self.devices * self.num_nodes):
            raise ValueError(f"batch {self.batch} must divide by devices x num_nodes = {self.devices * self.num_nodes}")
        return self
