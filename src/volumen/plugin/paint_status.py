"""PaintStatus: how a painting stands, in values and in a person's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PaintStatus:
    """How a painting stands.

    Parameters
    ----------
    version
        Number of the version that is painted on, or kept.
    kept
        Whether the next stroke begins another version.
    unsaved
        Whether there are strokes that are in memory only.
    saved_ago
        Seconds since strokes were last saved; None if none were.
    error
        Why strokes could not be saved; empty if they could.
    hindrance
        Why one cannot paint in this view; empty where one can.

    Examples
    --------
    >>> PaintStatus(version=2, kept=False, unsaved=False, saved_ago=3.4, error="", hindrance="").saved
    'Saved 3 s ago.'
    """

    version: int
    kept: bool
    unsaved: bool
    saved_ago: float | None
    error: str
    hindrance: str

    @property
    def saved(self) -> str:
        """Whether what was painted is safe."""
        if self.error:
            return f"Not saved, will be tried again. {self.error}"
        if self.unsaved:
            return "Saving…"
        if self.saved_ago is None:
            return "Nothing painted yet. Strokes are saved as you paint."
        seconds = int(self.saved_ago)
        return f"Saved {seconds} s ago." if seconds < 60 else f"Saved {seconds // 60} min ago."

    @property
    def shown_version(self) -> str:
        """Which version is painted on."""
        if self.kept:
            return f"Version {self.version}, kept as it is. Your next stroke begins version {self.version + 1}."
        return f"Version {self.version}"
