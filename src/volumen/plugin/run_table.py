"""RunTable: the runs of a folder, a row each, and what is selected of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from volumen.plugin.colors import BAD, DOUBTFUL, GOING
from volumen.plugin.run_list import WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.plugin.run_list import Entry

_COLUMNS = ("Name", "What", "State", "Progress", "Best")
_COLORS = {"running": GOING, "elsewhere": GOING, "failed": BAD, "stopped": DOUBTFUL, "unfinished": DOUBTFUL}


class RunTable(QTableWidget):
    """A row a run, the latest first; rows change in place, so that a selection stays while runs go on."""

    chosen = Signal()
    """Another selection, or something about what is selected changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self._entries: list[Entry] = []
        self.setHorizontalHeaderLabels(_COLUMNS)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setShowGrid(False)
        header, rows = self.horizontalHeader(), self.verticalHeader()
        if header is not None and rows is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            header.setStretchLastSection(True)
            rows.hide()
            rows.setDefaultSectionSize(22)
        for column, width in enumerate((130, 70, 70, 100)):
            self.setColumnWidth(column, width)
        self.itemSelectionChanged.connect(self.chosen)

    @property
    def selected(self) -> list[Entry]:
        """What is selected, in the order of the rows."""
        model = self.selectionModel()
        rows = sorted(index.row() for index in model.selectedRows()) if model is not None else []
        return [self._entries[row] for row in rows]

    def show_entries(self, entries: Sequence[Entry]) -> None:
        """Show runs as they stand now; touch only what changed."""
        before = [entry.path for entry in self.selected]
        moved = [entry.path for entry in entries] != [entry.path for entry in self._entries]
        changed = {now.path for now, then in zip(entries, self._entries, strict=False) if not now.stands_as(then)}
        self._entries = list(entries)
        with QSignalBlocker(self):
            self.setRowCount(len(entries))
            for row, entry in enumerate(entries):
                self._fill(row, entry)
            if moved:
                self._select(before)
        if moved or changed & set(before):
            self.chosen.emit()

    def _fill(self, row: int, entry: Entry) -> None:
        texts = (entry.name, entry.verb, WORDS[entry.state], entry.progress, entry.brief)
        for column, text in enumerate(texts):
            item = self.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                self.setItem(row, column, item)
            if item.text() != text:
                item.setText(text)
                item.setToolTip(str(entry.path) if column == 0 else text)
                if column == _COLUMNS.index("State"):
                    color = _COLORS.get(entry.state)
                    item.setData(Qt.ItemDataRole.ForegroundRole, QColor(color) if color else None)

    def _select(self, paths: Sequence[object]) -> None:
        """Select the same runs again, wherever their rows are now."""
        model = self.selectionModel()
        if model is None:
            return
        model.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row, entry in enumerate(self._entries):
            if entry.path in paths:
                model.select(self.model().index(row, 0), flags)  # type: ignore[union-attr]
