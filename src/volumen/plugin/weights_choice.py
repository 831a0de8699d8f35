"""WeightsChoice: weights to begin with, those of a run or a file; runs are found by a thread, as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from volumen.errors import SettingsError
from volumen.plugin.asking import Asking
from volumen.plugin.choice_box import choice_box, choose, in_a_row
from volumen.plugin.editors import browse_button
from volumen.plugin.trained import Trained, find_trained, weights_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qtpy.QtGui import QHideEvent, QShowEvent

_LOOK = 1500  # ms between looks for weights that came
_LOOKING, _NONE = "looking for runs…", "none yet"


class WeightsChoice(QWidget):
    """Weights: nothing, those of a run, or a file.

    Parameters
    ----------
    runs
        Returns the folder to look for runs in.
    verbs
        What runs may have been made by.
    none
        Words for no weights; without them some must be chosen, and the latest run comes chosen.
    words
        What to call a run, by its verb.
    """

    changed = Signal()

    def __init__(
        self, runs: Callable[[], Path], *verbs: str, none: str | None = None, words: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self._runs, self._verbs, self._none, self._words = runs, verbs, none, words or {}
        self._picked = False
        self._seen: _Weights | None = None
        self._asking = Asking(self, lambda _words: None)
        self._box = choice_box("Weights of a run in the runs folder, the latest first, or of a file")
        self._box.activated.connect(lambda _: self._pick())
        self._box.currentIndexChanged.connect(lambda _: self.changed.emit())
        in_a_row(self, self._box, browse_button(self, self.add))
        self._clock = QTimer(self)
        self._clock.setInterval(_LOOK)
        self._clock.timeout.connect(self._look)
        self._fill(None)
        self.refresh()

    @property
    def looking(self) -> bool:
        """Whether the runs are about to be listed."""
        return self._seen is None

    def path(self) -> str | None:
        """Return the file of the weights, None for none."""
        data = self._box.currentData()
        return data[0] if data else None

    def needed(self, otherwise: str) -> str:
        """Return the file of the weights.

        Raises
        ------
        SettingsError
            There is none to choose, which ``otherwise`` says, or it is not known yet whether there is.
        """
        path = self.path()
        if path is None and self.looking:
            raise SettingsError(
                "The runs folder is still being looked through. Try again in a moment, or choose a file with the "
                "… button."
            )
        if path is None:
            raise SettingsError(otherwise)
        return path

    def verb(self) -> str:
        """Return what made the weights, empty for a file, whose maker is not known."""
        data = self._box.currentData()
        return data[1] if data else ""

    def add(self, path: str) -> None:
        """Choose weights by path: a file or a run folder."""
        self._picked = True
        choose(self._box, path, (path, ""))

    def choose(self, run: Path) -> None:
        """Choose a run of the list."""
        wanted = str(Trained(run, "").weights)
        for row in range(self._box.count()):
            data = self._box.itemData(row)
            if data and data[0] == wanted:
                self._picked = True
                self._box.setCurrentIndex(row)

    def refresh(self) -> None:
        """List the runs again, as a thread finds them."""
        self._seen = None
        self._ask()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for runs that come, from now on."""
        super().showEvent(event)
        self._look()
        self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Look no more."""
        super().hideEvent(event)
        self._clock.stop()

    def _look(self) -> None:
        """List runs that came meanwhile; a widget behind a tab, or beside the others, is not shown anew for them."""
        if not self._asking.waiting:  # a slow folder is looked through once after the other
            self._ask()

    def _ask(self) -> None:
        self._asking.ask(_look_through, self._runs(), self._verbs, self._seen, then=self._take)

    def _take(self, found: tuple[_Weights, list[Trained]] | None) -> None:
        """List what was found; None where nothing changed."""
        if found is None or found[0].runs != self._runs():
            return  # of a folder that is preferred no more: the next look is at the other
        popup = self._box.view()
        if popup is not None and popup.isVisible():
            return  # a person chooses from it just now: the next look finds it again
        self._seen, trained = found
        self._fill(trained)

    def _fill(self, trained: Sequence[Trained] | None) -> None:
        """List runs; what a person chose stays, else the latest is chosen where something must be."""
        before = self._box.currentData() if self._picked else None
        with QSignalBlocker(self._box):
            self._box.clear()
            self._box.setPlaceholderText(_NONE if trained is not None else _LOOKING)
            if self._none is not None:
                self._box.addItem(self._none, None)
                if trained is None:
                    self._box.addItem(_LOOKING, None)
                    self._box.setItemData(1, 0, Qt.ItemDataRole.UserRole - 1)  # how Qt says that it cannot be chosen
            for run in trained or ():
                self._box.addItem(f"{self._words.get(run.verb, '')}{run.name}", (str(run.weights), run.verb))
                self._box.setItemData(self._box.count() - 1, str(run.path), Qt.ItemDataRole.ToolTipRole)
            self._box.setCurrentIndex(0)  # a box with a placeholder does not do so by itself
        if before:
            rows = [row for row in range(self._box.count()) if self._box.itemData(row) == before]
            if rows:
                self._box.setCurrentIndex(rows[0])
            else:
                choose(self._box, str(before[0]), before)
        self.changed.emit()

    def _pick(self) -> None:
        self._picked = True


@dataclass(frozen=True)
class _Weights:
    """Which weights there are in a runs folder, and when each was written."""

    runs: Path
    written: frozenset[tuple[str, float]]


def _look_through(runs: Path, verbs: Sequence[str], before: _Weights | None) -> tuple[_Weights, list[Trained]] | None:
    """Find the runs that have weights; None where nothing changed since another look."""
    now = _Weights(runs, weights_in(runs))
    return None if now == before else (now, find_trained(runs, *verbs))
