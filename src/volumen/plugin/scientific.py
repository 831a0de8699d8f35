"""Scientific: a spin box for numbers of any size, as learning rates are."""

from __future__ import annotations

import re

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox

_DIGITS = 12


class Scientific(QDoubleSpinBox):
    """A box for numbers of any size, written as short as they can be: 0.05, 1e-05."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(_DIGITS)

    def textFromValue(self, value: float) -> str:
        """Write a number."""
        return f"{value:.{_DIGITS}g}"

    def valueFromText(self, text: str | None) -> float:
        """Read a number."""
        try:
            return float(text or "")
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let anything be typed that may still become a number."""
        whole = text or ""
        try:
            inside = self.minimum() <= float(whole) <= self.maximum()
        except ValueError:
            partial = re.fullmatch(r"[-+]?\d*\.?\d*(e[-+]?\d*)?", whole.strip(), re.IGNORECASE)
            state = QValidator.State.Intermediate if partial else QValidator.State.Invalid
            return (state, whole, position)
        return (QValidator.State.Acceptable if inside else QValidator.State.Intermediate, whole, position)
