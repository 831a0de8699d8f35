"""Settings of going on with a run."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from volumen.settings.base import Settings
from volumen.settings.source import Path


class Resume(Settings):
    """Go on with an interrupted run; on a CPU it ends with the same weights as an unbroken one."""

    example: ClassVar[str] = "volumen resume runs/first"
    positional: ClassVar[tuple[str, ...]] = ("run",)

    run: Path = Field(description="Run folder")
