"""SettingsForm: a verb's settings as a form, its fields, defaults, bounds and help all taken from the settings."""

from __future__ import annotations

import re
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from volumen.plugin.field_names import for_forms, label_of, with_labels
from volumen.plugin.field_row import FieldRow, problem_label
from volumen.plugin.parts import collapsible, tab_through

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pydantic_core import ErrorDetails

    from volumen.plugin.editors import Editor
    from volumen.settings.base import Settings


class SettingsForm(QWidget):
    """Edit the settings of a verb; whatever is said of a field comes from the settings.

    Parameters
    ----------
    kind
        The settings.
    basic
        Fields to show first, in this order; the others are below "More settings".
    hidden
        Fields that are not shown: they keep their defaults, or are given by `give`.
    pick_region
        Returns a drawn box ``Y0:Y1,X0:X1`` to fill into fields that are one, None where nothing is drawn.
    """

    changed = Signal()

    def __init__(
        self,
        kind: type[Settings],
        basic: tuple[str, ...],
        *,
        hidden: Collection[str] = (),
        pick_region: Callable[[], str | None] | None = None,
    ) -> None:
        super().__init__()
        self._kind = kind
        self._given: dict[str, Any] = {}
        self._quiet = False
        self._problem = problem_label()
        self._more = collapsible("More settings")
        self._rows: dict[str, FieldRow] = {}
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        above, below = QWidget(), QWidget()
        outer.addWidget(above)
        outer.addWidget(self._problem)
        outer.addWidget(self._more)
        self._more.addWidget(below)
        self._above = _form_layout(above)
        fields = kind.model_fields
        others = [name for name in _own_first(kind) if name not in {*basic, *hidden}]
        for rows, names in ((self._above, basic), (_form_layout(below), others)):
            for name in names:
                row = FieldRow(name, fields[name], pick_region)
                row.editor.changed.connect(lambda name=name: self._edited(name))
                rows.addRow(row.label, row)
                self._rows[name] = row
        self._more.setVisible(bool(others))
        tab_through(self.parts)
        self._usual = self._usual_values()
        self.set_values({})

    @property
    def first_problem(self) -> QWidget | None:
        """What says the uppermost problem, None where there is none."""
        if not self._problem.isHidden():
            return self._problem
        return next((row for row in self._rows.values() if row.problem), None)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that are shown, in order."""
        return tuple(self._rows)

    def editor(self, name: str) -> Editor:
        """Return the control of a field."""
        return self._rows[name].editor

    @property
    def parts(self) -> list[QWidget]:
        """All that can be edited, from top to bottom."""
        field = QFormLayout.ItemRole.FieldRole
        items = (self._above.itemAt(row, field) for row in range(self._above.rowCount()))
        controls = (item.widget() for item in items if item is not None)
        return [*(control for control in controls if control is not None), self._more]

    def add_row(self, label: str, control: QWidget, *, at: int | None = None) -> None:
        """Put a control of somebody else's among the basic fields, below them if not told where."""
        self._above.insertRow(self._above.rowCount() if at is None else at, label, control)

    def give(self, **values: Any) -> None:
        """Set the fields that are not shown, in the place of what was given before; None leaves one out."""
        self._given = {name: value for name, value in values.items() if value is not None}

    def values(self) -> dict[str, Any]:
        """Return what differs from the defaults, or from those of the mode, and the mode where there are modes."""
        found = {name: row.editor.value() for name, row in self._rows.items()}
        return {
            name: value
            for name, value in found.items()
            if (name == "mode" and self._kind.modes) or (value is not None and not _same(value, self._usual[name]))
        }

    def settings(self) -> Settings:
        """Return the settings that the form and `give` say.

        Raises
        ------
        pydantic.ValidationError
            They cannot be; `show_errors` says so at the fields.
        """
        return self._kind(**{**self._given, **self.values()})

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show these values, and the defaults elsewhere; names that are not shown are left out.

        A value of another type than the field's is left out too.

        Parameters
        ----------
        values
            Plain ones, or those of settings.
        """
        self._quiet = True
        if "mode" in self._rows:
            self._rows["mode"].editor.set_value(values.get("mode", self._usual["mode"]))
            self._usual = self._usual_values()
        for name, row in self._rows.items():
            try:
                row.editor.set_value(self._plain(name, values[name]) if name in values else self._usual[name])
            except (TypeError, ValueError, OverflowError):  # remembered of another version: no such thing can be shown
                row.editor.set_value(self._usual[name])
        self._quiet = False
        self._look()

    def reset(self) -> None:
        """Show the defaults."""
        self.set_values({})

    def check(self) -> bool:
        """Say at the fields what cannot be, also what is missing; return whether all is well."""
        return self._checked(missing=True)

    def show_errors(self, error: ValidationError, *, missing: bool = True) -> None:
        """Say each problem at its field, in words; one of no field that is shown, above the others."""
        self._clear()
        general = []
        for problem in error.errors():
            if problem["type"] == "missing" and not missing:
                continue
            name, words = _place(problem, self._kind)
            if name in self._rows:
                self._rows[name].say(words)
                if self._more.isAncestorOf(self._rows[name]):
                    self._more.expand(animate=False)
            else:
                general.append(f"{label_of(name, self._kind.model_fields.get(name))}: {words}" if name else words)
        self._problem.setText("\n".join(general))
        self._problem.setVisible(bool(general))

    def _edited(self, name: str) -> None:
        if self._quiet:
            return
        if name == "mode" and self._kind.modes:
            self._change_mode()
        self._look()
        self.changed.emit()

    def _change_mode(self) -> None:
        """Put the mode's values where nothing else was given."""
        before, self._usual = self._usual, self._usual_values()
        self._quiet = True
        for name, row in self._rows.items():
            if name != "mode" and _same(row.editor.value(), before[name]):
                row.editor.set_value(self._usual[name])
        self._quiet = False

    def _look(self) -> None:
        """Mark what differs from the defaults, and say what cannot be."""
        given = self.values()
        for name, row in self._rows.items():
            row.mark(name in given and not _same(row.editor.value(), self._usual[name]))
        self._checked(missing=False)

    def _checked(self, *, missing: bool) -> bool:
        try:
            self.settings()
        except ValidationError as error:
            self.show_errors(error, missing=missing)
            return False
        self._clear()
        return True

    def _clear(self) -> None:
        self._problem.hide()
        for row in self._rows.values():
            row.say("")

    def _usual_values(self) -> dict[str, Any]:
        """Return the defaults, or those of the mode that is chosen, in plain form."""
        usual = {name: self._plain(name, field.get_default()) for name, field in self._kind.model_fields.items()}
        if not self._kind.modes:
            return usual
        mode = self._rows["mode"].editor.value() if "mode" in self._rows else usual["mode"]
        of_mode = self._kind.modes.get(str(mode), {})
        return {**usual, **{name: self._plain(name, value) for name, value in of_mode.items()}}

    def _plain(self, name: str, value: Any) -> Any:
        """Return a value as an editor takes it: as it is written, where that is text."""
        field = self._kind.model_fields[name]
        if value is field.get_default() and field.is_required():
            return None
        if isinstance(value, str | list):
            return value
        return self._kind.model_construct(**{name: value}).model_dump(mode="json", include={name}, warnings=False)[name]


def _place(problem: ErrorDetails, kind: type[Settings]) -> tuple[str, str]:
    """Return the field that a problem is about, empty where it is none's, and the problem in words."""
    said = problem["msg"].removeprefix("Value error, ")
    words = for_forms(said)
    if problem["type"] == "missing":
        return str(problem["loc"][0]), "must be given"
    if problem["loc"]:
        return str(problem["loc"][0]), words if "got" in words else f"{words}; got {problem['input']}"
    named = [word for word in re.findall(r"\w+", said) if word in kind.model_fields]
    return (named[0] if named else ""), with_labels(words, kind.model_fields)


def _own_first(kind: type[Settings]) -> list[str]:
    """Order fields: those of the settings themselves, then those that they share with other verbs."""
    origins = [get_annotations(part) for part in kind.__mro__]
    return sorted(kind.model_fields, key=lambda name: next(i for i, part in enumerate(origins) if name in part))


def _same(one: Any, other: Any) -> bool:
    """Say whether two plain values are written alike: a line holds the text 20 for the number."""
    return _written(one) == _written(other)


def _written(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value] or str(None)
    return str(value)


def _form_layout(place: QWidget) -> QFormLayout:
    rows = QFormLayout(place)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows
