"""Settings of running a job file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Settings
from volumen.settings.source import Path


class Rerun(Settings):
    """Run a job file that the napari plugin wrote, or the recipe.json of a run again; same CPU, equal weights."""

    example: ClassVar[str] = "volumen run runs/first --out runs/again"
    positional: ClassVar[tuple[str, ...]] = ("job",)

    job: Path = Field(description="Job file (job.json) or recipe (recipe.json), or the folder that holds it")
    out: Path | None = Field(None, description="Where to write instead of where the file says")
    resume: bool = Field(False, description="Go on with what is at the output path, whatever the file says")
    overwrite: bool = Field(False, description="Replace what is at the output path, whatever the file says")
