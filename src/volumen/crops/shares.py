"""Shares: how many pixels are ink, background and unsupervised, and whether a model can learn from them."""

from __future__ import annotations

from dataclasses import dataclass

from volumen.errors import LabelError

LEAST_BACKGROUND = 0.01
"""Below this share of the supervised pixels a model learns to say ink everywhere, and its loss looks fine."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Pixel counts over some windows; overlapping windows count each time, as the model sees them.

    Parameters
    ----------
    ink
        Supervised pixels whose label is above one half.
    background
        Supervised pixels whose label is not.
    unsupervised
        Pixels whose label is not trusted. They are not background.
    papyrus
        Pixels inside the mask, of all three kinds.

    Examples
    --------
    >>> print(Shares(ink=6, background=90, unsupervised=4) + Shares(ink=14, background=86))
    10.0 % ink, 88.0 % background, 2.0 % unsupervised
    """

    ink: int = 0
    background: int = 0
    unsupervised: int = 0
    papyrus: int = 0

    def __add__(self, other: Shares) -> Shares:
        return Shares(
            ink=self.ink + other.ink,
            background=self.background + other.background,
            unsupervised=self.unsupervised + other.unsupervised,
            papyrus=self.papyrus + other.papyrus,
        )

    def __str__(self) -> str:
        return (
            f"{self.of(self.ink):.1%} ink, {self.of(self.background):.1%} background, "
            f"{self.of(self.unsupervised):.1%} unsupervised"
        ).replace("%", " %")

    @property
    def pixels(self) -> int:
        """All pixels."""
        return self.ink + self.background + self.unsupervised

    @property
    def supervised(self) -> int:
        """Pixels whose label is trusted."""
        return self.ink + self.background

    def of(self, count: int) -> float:
        """Return a count as a share of all pixels, in [0, 1]."""
        return count / self.pixels if self.pixels else 0.0

    def check(self, where: str) -> None:
        """Raise a `LabelError` where nothing can be learned: nothing supervised, no ink, or nothing but ink."""
        if not self.supervised:
            raise LabelError(
                f"Expected supervised pixels in {where}; there are none. Mark where the label may be trusted in the "
                "supervision mask, and see that it lies on the papyrus."
            )
        if not self.ink:
            raise LabelError(
                f"Expected ink in {where}; no supervised pixel of the label is above one half. "
                "Paint ink, or check that the label belongs to this segment."
            )
        if not self.background:
            raise LabelError(
                f"Expected background in {where}; every supervised pixel is ink. "
                "Extend the supervision mask over clean papyrus as well."
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person should know before paying for the training."""
        if self.supervised and self.background / self.supervised < LEAST_BACKGROUND:
            return (
                f"Only {self.background / self.supervised:.2%} of the supervised pixels are background; a model "
                "trained on this says ink everywhere. Extend the supervision mask over clean papyrus.",
            )
        return ()
