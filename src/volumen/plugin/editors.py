"""Editors: controls for one value each, spoken to in the same way whatever the value is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from volumen.plugin.scientific import Scientific

if TYPE_CHECKING:
    from collections.abc import Callable


_LARGEST = 2**31 - 1  # what a spin box of Qt can hold


class Editor(QWidget):
    """Edit one value; ``changed`` tells that a person or a program gave another."""

    changed = Signal()

    def value(self) -> Any:
        """Return the value in plain form, None where nothing is given; nothing is validated here."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a plain value, None for nothing."""
        raise NotImplementedError

    def _hold(self, *parts: QWidget) -> None:
        """Lay the parts out in a row; the first takes the width that is left."""
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for index, part in enumerate(parts):
            row.addWidget(part, stretch=index == 0)
        self.setFocusProxy(parts[0])


class Tick(Editor):
    """Yes or no."""

    def __init__(self) -> None:
        super().__init__()
        self._box = QCheckBox()
        self._box.toggled.connect(lambda _: self.changed.emit())
        self._hold(self._box)

    def value(self) -> Any:
        """Return True or False."""
        return self._box.isChecked()

    def set_value(self, value: Any) -> None:
        """Tick the box or not."""
        self._box.setChecked(bool(value))


class Ticks(Editor):
    """Any of a few words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__()
        self._boxes = {word: QCheckBox(word) for word in words}
        for box in self._boxes.values():
            box.toggled.connect(lambda _: self.changed.emit())
        self._hold(*self._boxes.values())

    def value(self) -> Any:
        """Return the words that are ticked."""
        return [word for word, box in self._boxes.items() if box.isChecked()]

    def set_value(self, value: Any) -> None:
        """Tick these words and no others."""
        for word, box in self._boxes.items():
            box.setChecked(word in (value or ()))


class Words(Editor):
    """One of a few words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__()
        self._box = QComboBox()
        self._box.addItems(words)
        self._box.currentTextChanged.connect(lambda _: self.changed.emit())
        leave_the_wheel_alone(self._box)
        self._hold(self._box)

    def value(self) -> Any:
        """Return the word that is chosen."""
        return self._box.currentText()

    def set_value(self, value: Any) -> None:
        """Choose a word; one that is not among them changes nothing."""
        self._box.setCurrentText(str(value))


class Whole(Editor):
    """A whole number within its bounds."""

    def __init__(self, bounds: dict[str, float]) -> None:
        super().__init__()
        self._box = QSpinBox()
        self._box.setRange(
            int(bounds.get("ge", bounds.get("gt", -_LARGEST) + ("gt" in bounds))),
            int(bounds.get("le", bounds.get("lt", _LARGEST) - ("lt" in bounds))),
        )
        self._box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self._box.valueChanged.connect(lambda _: self.changed.emit())
        leave_the_wheel_alone(self._box)
        self._hold(self._box)

    def value(self) -> Any:
        """Return the number."""
        return self._box.value()

    def set_value(self, value: Any) -> None:
        """Show a number."""
        self._box.setValue(int(value))


class Real(Editor):
    """A number within its bounds."""

    def __init__(self, bounds: dict[str, float]) -> None:
        super().__init__()
        self._box = Scientific()
        self._box.setRange(
            bounds.get("ge", bounds.get("gt", -float(_LARGEST))), bounds.get("le", bounds.get("lt", float(_LARGEST)))
        )
        self._box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self._box.valueChanged.connect(lambda _: self.changed.emit())
        leave_the_wheel_alone(self._box)
        self._hold(self._box)

    def value(self) -> Any:
        """Return the number."""
        return self._box.value()

    def set_value(self, value: Any) -> None:
        """Show a number."""
        self._box.setValue(float(value))


class Line(Editor):
    """Anything that is written as text; empty means nothing is given.

    Parameters
    ----------
    hint
        What to show while it is empty.
    pick
        Returns what to fill in where a person asks for it, such as a drawn rectangle; None for nothing.
    """

    def __init__(self, hint: str = "", pick: Callable[[], str | None] | None = None) -> None:
        super().__init__()
        self._line = QLineEdit()
        self._line.setPlaceholderText(hint)
        self._line.textChanged.connect(lambda _: self.changed.emit())
        if pick is None:
            self._hold(self._line)
            return
        button = QPushButton("From shape")
        button.setToolTip("Take the rectangle that is selected in a Shapes layer, or the last one drawn")
        button.clicked.connect(lambda: self._fill(pick()))
        self._hold(self._line, button)

    def value(self) -> Any:
        """Return the text, None where there is none."""
        return self._line.text().strip() or None

    def set_value(self, value: Any) -> None:
        """Show a text, or nothing."""
        self._line.setText("" if value is None else str(value))

    def _fill(self, text: str | None) -> None:
        if text is not None:
            self._line.setText(text)


class PathLine(Line):
    """A path or URL, typed or browsed for."""

    def __init__(self, hint: str = "") -> None:
        QWidget.__init__(self)
        self._line = QLineEdit()
        self._line.setPlaceholderText(hint)
        self._line.textChanged.connect(lambda _: self.changed.emit())
        self._hold(self._line, browse_button(self, self._fill))


class Lines(Editor):
    """Any number of values, one a line.

    Parameters
    ----------
    paths
        Whether they are paths, and can be browsed for.
    """

    def __init__(self, *, paths: bool) -> None:
        super().__init__()
        self._text = QPlainTextEdit()
        self._text.setStyleSheet(
            "QPlainTextEdit { border: 1px solid gray; border-radius: 2px; }"
        )  # napari has no style
        self._text.setPlaceholderText("one path a line" if paths else "one a line")
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._text.setTabChangesFocus(True)
        self._text.setFixedHeight(3 * self._text.fontMetrics().lineSpacing() + 12)
        self._text.textChanged.connect(self.changed.emit)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        browse = [browse_button(self, lambda path: self.set_value([*self.value(), path]))] if paths else []
        self._hold(self._text, *browse)

    def value(self) -> Any:
        """Return the lines that hold something."""
        return [line.strip() for line in self._text.toPlainText().splitlines() if line.strip()]

    def set_value(self, value: Any) -> None:
        """Show these values."""
        self._text.setPlainText("\n".join(map(str, value or ())))


def browse_button(parent: QWidget, chosen: Callable[[str], object]) -> QPushButton:
    """Make a button that asks for a file or a folder and hands its path over."""
    button = QPushButton("…", parent)
    button.setToolTip("Browse for a file or a folder")
    menu = QMenu(button)
    menu.addAction(
        "A folder, such as a .zarr or a run…", lambda: _hand(QFileDialog.getExistingDirectory(parent), chosen)
    )
    menu.addAction("A file…", lambda: _hand(QFileDialog.getOpenFileName(parent)[0], chosen))
    button.setMenu(menu)
    button.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; } QPushButton { padding: 4px 8px; }")
    return button


def _hand(path: str, chosen: Callable[[str], object]) -> None:
    if path:  # empty where the person thought better of it
        chosen(path)


class _Still(QObject):
    """Pass the wheel on to what scrolls, unless the control was clicked: scrolling past must not change it."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let go of a wheel's turn."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def leave_the_wheel_alone(control: QWidget) -> None:
    """Let the wheel scroll past a control that was not clicked, without changing it."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.installEventFilter(_Still(control))
