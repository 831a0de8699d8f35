"""How segments are found and read: shared by every verb that opens one."""

from __future__ import annotations

from os import PathLike, fspath
from os.path import expanduser
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from volumen.settings.base import Settings

_PATH = Field(json_schema_extra={"metavar": "PATH"})


def _as_text(value: Any) -> Any:
    return fspath(value) if isinstance(value, PathLike) else value


def _listed(value: Any) -> Any:
    """Take one path for a list of one."""
    return (value,) if isinstance(value, str | PathLike) else value


def _check_path(value: str) -> str:
    if not value:  # such as an unset variable of a shell; it must not mean the present folder
        raise ValueError("expected a path; got ''")
    return expanduser(value)


Path = Annotated[str, BeforeValidator(_as_text), AfterValidator(_check_path), _PATH]
"""A path, `~` standing for the user's folder, or a URL."""

Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
"""Paths; one alone stands for a list of it."""


class LabelPaths(Settings):
    """Labels and masks, one a segment in the same order, where they do not lie beside it; layer order, voxel size."""

    ink: Paths = Field((), description="Ink label of each segment, where it is not found beside it")
    supervision: Paths = Field(
        (), description="Where each label may be trusted; elsewhere nothing is learned or scored"
    )
    held_out_mask: Paths = Field((), description="Where to score each segment and never to train")
    mask: Paths = Field((), description="Where each segment has papyrus")
    reverse: bool = Field(False, description="Read the layers last to first")
    voxel_um: float | None = Field(
        None, gt=0, title="Voxel edge (µm)", description="Edge of a voxel in µm, where the files do not say it"
    )
