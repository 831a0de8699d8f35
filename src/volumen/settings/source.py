"""How segments are found and read: shared by every verb that opens one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from volumen.settings.base import Settings

_PATH = Field(json_schema_extra={"metavar": "PATH"})
Path = Annotated[str, _PATH]


class LabelPaths(Settings):
    """Labels and masks given by hand, one a segment in the same order; what is not given is looked for beside it."""

    ink: tuple[Path, ...] = Field((), description="Ink label of each segment, where it is not found beside it")
    supervision: tuple[Path, ...] = Field((), description="Where each label may be trusted; elsewhere is no loss")
    held_out_mask: tuple[Path, ...] = Field((), description="Where to score only, never to train, of each segment")
    mask: tuple[Path, ...] = Field((), description="Where there is papyrus, of each segment")
    reverse: bool = Field(False, description="Read the layers last to first")
    voxel_um: float | None = Field(
        None, gt=0, title="Voxel edge (µm)", description="Edge of a voxel in µm, where the files do not say it"
    )
