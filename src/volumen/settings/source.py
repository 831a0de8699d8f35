"""How segments are found and read: shared by every verb that opens one."""

from __future__ import annotations

from os.path import expanduser
from typing import Annotated

from pydantic import AfterValidator, Field

from volumen.settings.base import Settings

_PATH = Field(json_schema_extra={"metavar": "PATH"})


def _check_path(value: str) -> str:
    if not value:  # such as an unset variable of a shell; it must not mean the present folder
        raise ValueError("expected a path; got ''")
    return expanduser(value)


Path = Annotated[str, AfterValidator(_check_path), _PATH]
"""A path, `~` standing for the user's folder, or a URL."""


class LabelPaths(Settings):
    """Labels and masks, one a segment in the same order, where they do not lie beside it; layer order, voxel size."""

    ink: tuple[Path, ...] = Field((), description="Ink label of each segment, where it is not found beside it")
    supervision: tuple[Path, ...] = Field(
        (), description="Where each label may be trusted; elsewhere nothing is learned or scored"
    )
    held_out_mask: tuple[Path, ...] = Field((), description="Where to score each segment and never to train")
    mask: tuple[Path, ...] = Field((), description="Where each segment has papyrus")
    reverse: bool = Field(False, description="Read the layers last to first")
    voxel_um: float | None = Field(
        None, gt=0, title="Voxel edge (µm)", description="Edge of a voxel in µm, where the files do not say it"
    )
