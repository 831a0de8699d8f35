"""JobStory: what the events of a job amount to so far: progress, curves, scores, messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from volumen.events import Finished, Saved, Scored, Started, Stepped, Warned
from volumen.pace import Pace, in_words
from volumen.plugin.course import Course

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from volumen.events import Event

Kind = Literal["note", "saved"]

SCORES = ("average_precision", "auc", "dice", "f05", "probe_auc", "probe_average_precision")
"""Scores in [0, 1] that are drawn, and told, the first of them first."""

_NAMES = {
    "loss": "held-out loss",
    "auc": "AUC",
    "f05": "F0.5",
    "average_precision": "average precision",
    "dice": "Dice",
}


def name_of(score: str) -> str:
    """Return what a person calls a score."""
    return _NAMES.get(score, score.replace("_", " "))


class JobStory:
    """Take events in and say what they amount to.

    Parameters
    ----------
    clock
        Seconds of any clock.

    Attributes
    ----------
    part
        The part of the work that runs now; None before the first.
    pace
        How fast it goes.
    losses, scores
        Curves by name, over epochs where the job says what an epoch is, else over its units.
    x_label
        What they are drawn over.
    best
        Scores of the best epoch so far.
    messages
        What the person should know, in order: (kind, words).
    result
        What the job ended with; None before.

    Examples
    --------
    >>> story = JobStory(clock=lambda: 0.0)
    >>> story.hear(Started(work="finetune", total=40, unit="steps", device="cpu", detail={"steps_per_epoch": 20}))
    >>> story.hear(Stepped(done=10, total=40, values={"loss": 0.7}))
    >>> story.fraction, story.losses["training"].x.tolist()
    (0.25, [0.5])
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.part: Started | None = None
        self.pace = Pace.begin(clock())
        self.losses: dict[str, Course] = {}
        self.scores: dict[str, Course] = {}
        self.x_label = "steps"
        self.best: tuple[int, Mapping[str, float]] | None = None
        self.messages: list[tuple[Kind, str]] = []
        self.result: Mapping[str, Any] | None = None
        self._per_epoch = 0
        self._told: set[str] = set()

    def hear(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Started():
                self._begin(event)
            case Stepped():
                self.pace = self.pace.advance(event.done, event.total, now=self._clock())
                if "loss" in event.values:
                    self._draw(self.losses, "training", event.done / (self._per_epoch or 1), event.values["loss"])
            case Scored():
                self._score(event)
            case Saved():
                self._say("saved", f"Saved: {event.what}, {event.path}")
            case Warned():
                self._say("note", event.message)
            case Finished():
                self.result = event.result

    def pause(self) -> None:
        """Take what was told so far as past: no part runs, and how fast it was told is no pace of the work."""
        self.part, self.pace = None, Pace.begin(self._clock())

    @property
    def fraction(self) -> float:
        """How much of the part is done, in [0, 1]."""
        return min(1.0, self.pace.done / self.pace.total) if self.pace.total else 0.0

    @property
    def progress(self) -> str:
        """Say how far the part is, how fast it goes and how long it will take."""
        if self.part is None:
            return "Starting…"
        unit, done, total = self.part.unit, self.pace.done, self.pace.total or self.part.total
        words = [f"{done} of {total} {unit}"]
        if self._per_epoch and done:
            epochs = -(-total // self._per_epoch)
            words = [f"epoch {min(epochs, -(-done // self._per_epoch))} of {epochs}"]
        words.append(self.pace.rate_in_words(unit))
        if self.pace.seconds_left and done < total:
            words.append(f"{in_words(self.pace.seconds_left)} left")
        return " · ".join(filter(None, words))

    @property
    def headline(self) -> str:
        """Say which part of the work runs, and on which device."""
        if self.part is None:
            return ""
        return f"{self.part.work}{f' on {self.part.device}' if self.part.device else ''}"

    @property
    def best_in_words(self) -> str:
        """Say the scores of the best epoch; empty where nothing was scored."""
        told = [f"{name} {value}" for name, value in self._best_scores]
        return f"Best, epoch {self.best[0]}: {', '.join(told)}" if self.best and told else ""

    @property
    def best_in_brief(self) -> str:
        """Say the first score of the best epoch, its value first; empty where nothing was scored."""
        return next((f"{value} {name}" for name, value in self._best_scores), "")

    @property
    def _best_scores(self) -> list[tuple[str, str]]:
        """Names and values, as they are told."""
        scores = self.best[1] if self.best else {}
        told = {name: scores.get(name) for name in (*SCORES, "loss")}
        words = [(name_of(name), f"{value:.3g}") for name, value in told.items() if isinstance(value, int | float)]
        return words[:-1] if len(words) > 1 and "loss" in scores else words

    def _begin(self, event: Started) -> None:
        self.part, self.pace = event, Pace.begin(self._clock())
        per_epoch = event.detail.get("steps_per_epoch")
        self._per_epoch = per_epoch if isinstance(per_epoch, int) and per_epoch > 0 else 0
        self.x_label = "epoch" if self._per_epoch else event.unit

    def _score(self, event: Scored) -> None:
        if event.best or self.best is None:
            self.best = (event.step, event.scores)
        self._draw(self.losses, "held out", event.step, event.scores.get("loss"))
        for name in SCORES:
            self._draw(self.scores, name_of(name), event.step, event.scores.get(name))

    def _draw(self, courses: dict[str, Course], name: str, x: float, y: float | None) -> None:
        if y is not None:
            courses.setdefault(name, Course()).add(x, y)

    def _say(self, kind: Kind, text: str) -> None:
        """Note what was not said before; the best weights are saved again and again."""
        if text not in self._told:
            self._told.add(text)
            self.messages.append((kind, text))
