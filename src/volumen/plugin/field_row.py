"""FieldRow: one field of a form, its name, its control, its help, and what is wrong with it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from volumen.plugin.fields import make_editor
from volumen.settings.fields import describe, metavar, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

_WRONG = "color: #e8590c"  # legible on napari's dark and light ground


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
        self.label = QLabel(field.title or in_words(name))
        self.editor = make_editor(field, pick=pick_region)
        self._problem = problem_label()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.editor)
        column.addWidget(self._problem)
        written = f"{option(name)} {metavar(field) or ''}".strip()
        tip = f"<p>{html.escape(describe(field))}</p><p>On the command line: <code>{html.escape(written)}</code></p>"
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


def in_words(name: str) -> str:
    """Return a field's name as a person reads it.

    Examples
    --------
    >>> in_words("learning_rate")
    'Learning rate'
    """
    return name.replace("_", " ").capitalize()


def problem_label() -> QLabel:
    """Make a label for what is wrong; it takes no room while nothing is."""
    label = QLabel()
    label.setStyleSheet(_WRONG)
    label.setWordWrap(True)
    label.hide()
    return label
