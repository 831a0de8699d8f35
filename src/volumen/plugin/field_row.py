"""FieldRow: one field of a form, its name, its control, its help, and what is wrong with it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from volumen.plugin.colors import BAD
from volumen.plugin.field_names import for_forms, label_of
from volumen.plugin.fields import make_editor
from volumen.settings.fields import describe, metavar, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo


class FieldRow(QWidget):
    """A field's editor with what is wrong with it below; ``label`` belongs beside it.

    Parameters
    ----------
    name, field
        The field.
    pick_region
        Fills in a box of pixels, for fields that are one.
    """

    def __init__(self, name: str, field: FieldInfo, pick_region: Callable[[], str | None] | None) -> None:
        super().__init__()
        self.label = QLabel(label_of(name, field))
        self.editor = make_editor(field, pick=pick_region)
        self._problem = problem_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.editor)
        column.addWidget(self._problem)
        flag = option(name).replace("--", "--no-", 1) if field.default is True else option(name)
        written = html.escape(f"{flag} {metavar(field) or ''}".strip())
        about = html.escape(for_forms(describe(field)))
        tip = f"<p>{about}</p><p>On the command line: <code>{written}</code></p>"
        for part in (self.label, self.editor):
            part.setToolTip(tip)

    @property
    def problem(self) -> str:
        """What is wrong with it, empty where nothing is."""
        return self._problem.text()

    def say(self, words: str) -> None:
        """Say what is wrong, or nothing."""
        self._problem.setText(words)
        self._problem.setVisible(bool(words))

    def mark(self, differs: bool) -> None:
        """Show in bold what differs from the default."""
        font = self.label.font()
        font.setBold(differs)
        self.label.setFont(font)


def problem_label() -> QLabel:
    """Make a label for what is wrong; it takes no room while nothing is."""
    label = QLabel()
    label.setStyleSheet(f"color: {BAD}")
    label.setWordWrap(True)
    label.hide()
    return label
