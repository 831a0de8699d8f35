"""Finding: what a preflight saw that speaks against training on a segment, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason to look again before paying for a training.

    Parameters
    ----------
    code
        Stable name for scripts, such as ``layers_reversed``.
    message
        What was seen, in numbers, and the cure.
    severity
        ``error`` where training cannot work, ``warning`` where it may be in vain.
    """

    code: str
    message: str
    severity: Literal["error", "warning"] = "warning"


def broken(code: str, message: str) -> Finding:
    """Return a finding with which training cannot work."""
    return Finding(code=code, message=message, severity="error")


def doubtful(code: str, message: str) -> Finding:
    """Return a finding with which training may be in vain."""
    return Finding(code=code, message=message)
