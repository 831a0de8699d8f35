"""Verb: a command that writes: how it begins, how it goes on after a kill, and what it leaves for whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from volumen.settings.command import command_line
from volumen.settings.verbs import verb_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from small_inputs import SmallInputs

    from volumen.settings.base import Settings


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A command that writes.

    Parameters
    ----------
    name
        In tables.
    settings
        From the inputs and the path of the output to what is asked for.
    again
        How it goes on after a kill: by ``--resume``, by ``volumen resume``, by the same command, or from the beginning,
        over what is there.
    claims
        From the output's path to what of it any reader takes for whole; to be called at any moment.
    out
        Name of the output.
    """

    name: str
    settings: Callable[[SmallInputs, str], Settings]
    again: Literal["--resume", "resume", "same", "--overwrite"]
    claims: Callable[[Path], list[Path]]
    out: str = "out"

    def begins(self, inputs: SmallInputs, out: Path) -> list[str]:
        """Return the command line that begins."""
        asked = self.settings(inputs, str(out))
        return command_line(verb_of(asked), asked)

    def goes_on(self, inputs: SmallInputs, out: Path) -> list[str]:
        """Return the command line that goes on with whatever there is."""
        if self.again == "resume" and (out / "recipe.json").exists():
            return ["resume", str(out)]
        flag = {"--resume": {"resume": True}, "--overwrite": {"overwrite": True}}.get(self.again, {})
        asked = self.settings(inputs, str(out)).model_copy(update=flag)
        return command_line(verb_of(asked), asked)
