"""The control that fits a settings field, chosen by what the field is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from volumen.plugin.editors import Editor, Line, Lines, PathLine, Real, Tick, Ticks, Whole, Words
from volumen.settings.fields import bare, choices, is_list, item_choices, limits, metavar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

_IF_NOT_GIVEN = re.compile(r"; ([^;]+) if not given")


def make_editor(field: FieldInfo, *, pick: Callable[[], str | None] | None = None) -> Editor:
    """Make the editor that fits a settings field.

    Parameters
    ----------
    field
        The field.
    pick
        Fills in a box of pixels, for fields that are one.
    """
    kind, form = bare(field), metavar(field)
    if kind is bool:
        return Tick()
    if is_list(field):
        if words := item_choices(field):
            return Ticks(words)
        return Lines(paths=form == "PATH") if form in (None, "PATH") else Line(hint(field))
    if words := choices(kind):
        return Words(words)
    if form == "PATH":
        return PathLine(hint(field))
    if form is None and field.default is not None and kind in (int, float):
        return Whole(limits(field)) if kind is int else Real(limits(field))
    return Line(hint(field), pick if form == "Y0:Y1,X0:X1" else None)


def hint(field: FieldInfo) -> str:
    """Say what an empty line means, where the settings say it, else how a value is written.

    Examples
    --------
    >>> from volumen.settings import Finetune
    >>> hint(Finetune.model_fields["stride"]), hint(Finetune.model_fields["region"])
    ('half the window', 'Y0:Y1,X0:X1')
    """
    found = _IF_NOT_GIVEN.search(field.description or "")
    usual = found[1] if found else ""
    form = metavar(field)
    return usual or ("not given" if form in (None, "PATH") else str(form))
