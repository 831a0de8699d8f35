"""How segments are found and read: shared by every verb that opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from volumen.settings.base import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_METAVAR = {"metavar": "PATH"}
_PATH = Field(json_schema_extra=dict(_METAVAR))
Path = Annotated[str, _PATH]


class LabelPaths(Settings):
    """Labels and masks given by hand, one a segment in the same order; what is not given is looked for beside it."""

    ink: tuple[Path, ...] = Field((), description="Ink label of each segment, where it is not found beside it")
    supervision: tuple[Path, ...] = Field((), description="Where each label may be trusted; elsewhere is no loss")
    held_out_mask: tuple[Path, ...] = Field((), description="Where to score only, never to train, of each segment")
    mask: tuple[Path, ...] = Field((), description="Where there is papyrus, of each segment")
    reverse: bool = Field(False, description="Read the layers last to first")
    voxel_um: float | None = Field(None, gt=0, description="Edge of a voxel in µm, where the files do not say it")


def path_fields(kind: type[Settings]) -> tuple[str, ...]:
    """Name the settings that are paths, or lists of them.

    Examples
    --------
    >>> path_fields(LabelPaths)
    ('ink', 'supervision', 'held_out_mask', 'mask')
    """
    return tuple(name for name, field in kind.model_fields.items() if _is_path(field))


def _is_path(field: FieldInfo) -> bool:
    infos: list[Any] = [info for part in get_args(field.annotation) for info in getattr(part, "__metadata__", ())]
    return _METAVAR in [field.json_schema_extra, *(getattr(info, "json_schema_extra", None) for info in infos)]
