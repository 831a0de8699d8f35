"""Breaking: a command killed again and again, which in the end must leave what an unbroken one leaves."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sameness import assert_same, files

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Commands, Ended
    from small_inputs import SmallInputs
    from verb import Verb


_WRITER = frozenset({"writer.json"})
"""What a process leaves that is killed when all else is done: its number, which nobody reads when no lock is held."""

_BEFORE_LAST = _WRITER | {"blocks.done"}
"""What is beside a whole output until it is gone on with: of a map that says that it is finished, its journal."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """What became of a command that was killed often: it always ended with the same.

    Parameters
    ----------
    verb
        Its name in the table.
    kills
        How often it was killed at work; half of them at a moment, half at a change of a file.
    ends
        How often it came to its end: in between, and in the end. Each time the output was identical.
    lost
        How often what a kill left behind held nothing yet.
    seconds
        How long it all took.
    """

    verb: str
    kills: int
    ends: int
    lost: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Breaker:
    """Breaks commands in a folder, at moments that follow from a seed.

    Parameters
    ----------
    commands, inputs
        To run them, and what they read.
    folder
        Where outputs are, emptied before a command.
    """

    def __init__(self, commands: Commands, inputs: SmallInputs, folder: Path) -> None:
        self.commands = commands
        self.inputs = inputs
        self.home, self.whole = folder / "home", folder / "whole"

    def unbroken(self, verb: Verb) -> Ended:
        """Run a command undisturbed, and put what it leaves aside to compare with."""
        for folder in (self.home, self.whole):
            shutil.rmtree(folder, ignore_errors=True)
        self.home.mkdir(parents=True)
        ended = self.commands.run(verb.begins(self.inputs, self.home / verb.out), self.home).well()
        self.home.rename(self.whole)
        self.home.mkdir()
        return ended

    def begin_or_go_on(self, verb: Verb, **how: Any) -> Ended:
        """Run a command that begins where there is nothing, and otherwise goes on."""
        line = verb.goes_on if any(self.home.iterdir()) else verb.begins
        return self.commands.run(line(self.inputs, self.home / verb.out), self.home, **how)

    def check_whole(self) -> None:
        """See that all is there as after an unbroken run, and nothing besides."""
        assert_same(self.home, self.whole, but=_WRITER)

    def check_claims(self, verb: Verb) -> None:
        """See that what a reader would take for whole, in the middle of it all, is whole."""
        for path in verb.claims(self.home / verb.out):
            assert_same(path, self.whole / path.relative_to(self.home), but=_BEFORE_LAST)

    def start_over(self) -> None:
        """Remove the output."""
        shutil.rmtree(self.home)
        self.home.mkdir()

    def break_often(self, verb: Verb, kills: int, *, seed: int = 0, longest_s: float = math.inf) -> Broken:
        """Kill a command so many times, going on each time; compare whenever it came to its end, and in the end.

        After ``longest_s`` it is killed no more.
        """
        begun, rng = time.monotonic(), np.random.default_rng(seed)
        life = self.unbroken(verb)
        done, ends, lost = 0, 0, 0
        while done < kills and time.monotonic() - begun < longest_s:
            if done % 2:
                how: dict[str, Any] = {"kill_at": int(rng.integers(1, life.changes + 1))}
            else:
                how = {"kill_after": float(rng.uniform(0, life.seconds))}
            if self.begin_or_go_on(verb, **how).killed_or_well():
                done += 1
                lost += not files(self.home)
                self.check_claims(verb)
            else:
                self.check_whole()
                ends += 1
                self.start_over()
        self.begin_or_go_on(verb).well()
        self.check_whole()
        return Broken(verb=verb.name, kills=done, ends=ends + 1, lost=lost, seconds=time.monotonic() - begun)
