"""Settings of sharing work among processes and machines."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from volumen.settings.base import Count, Settings


class Sharing(Settings):
    """Who shares the work: processes of this machine, or the workers of a dask scheduler; by default nobody."""

    workers: Count | None = Field(
        None, description="Share the work among so many processes of this machine, of one thread each"
    )
    scheduler: str | None = Field(
        None,
        description="Share the work among the workers of this dask scheduler, such as tcp://10.0.0.4:8786; they must "
        "see the same files",
        json_schema_extra={"metavar": "ADDRESS"},
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.workers is not None and self.scheduler is not None:
            raise ValueError("workers are processes of this machine, and a scheduler has its own: give one of the two")
        return self
