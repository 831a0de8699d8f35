"""SettingsTable: the settings of runs side by side, with what differs between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def rows_of(
    settings: Sequence[Mapping[str, Any]], *, only_differences: bool = False
) -> list[tuple[str, list[str], bool]]:
    """Return (name, value of each, whether they differ) of every setting that any of them has, what differs first.

    Examples
    --------
    >>> rows_of([{"epochs": 3, "batch": 8}, {"epochs": 5, "batch": 8, "freeze": True}], only_differences=True)
    [('epochs', ['3', '5'], True), ('freeze', ['–', 'yes'], True)]
    """
    names = dict.fromkeys(name for each in settings for name in each)
    rows = []
    for name in names:
        values = [_text(each[name]) if name in each else "–" for each in settings]
        differs = len(set(values)) > 1
        if differs or not only_differences:
            rows.append((name, values, differs))
    return sorted(rows, key=lambda row: not row[2])


class SettingsTable(QTableWidget):
    """A row a setting, a column a run; what differs is bold, and stands first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: list[tuple[str, Mapping[str, Any]]] | None = None
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setShowGrid(False)
        header = self.verticalHeader()
        if header is not None:
            header.hide()
            header.setDefaultSectionSize(20)

    def compare(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Show the settings of each run, by its name; those that are shown already keep widths and selection."""
        if list(settings.items()) == self._shown:
            return
        self._shown = list(settings.items())
        rows = rows_of(list(settings.values()))
        self.clear()
        self.setRowCount(len(rows))
        self.setColumnCount(1 + len(settings))
        self.setHorizontalHeaderLabels(["Setting", *settings])
        for row, (name, values, differs) in enumerate(rows):
            for column, text in enumerate((name.replace("_", " "), *values)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                font = item.font()
                font.setBold(differs)
                item.setFont(font)
                self.setItem(row, column, item)
        columns = self.horizontalHeader()
        if columns is not None:
            columns.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            columns.setStretchLastSection(True)
        self.setColumnWidth(0, 130)


def _text(value: Any) -> str:
    match value:
        case None:
            return "not given"
        case True | False:
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_text, value)) or "none"
        case str() | int() | float():
            return str(value)
    return json.dumps(value)
