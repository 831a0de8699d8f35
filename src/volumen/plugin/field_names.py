"""Field names: what the settings are called in forms, also in messages that name them as the command line does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

WRITE_TO = "Write to"
"""What every form calls the place of its output."""

_WITH_FORMS = ("finetune", "predict", "pretrain spark", "index", "search", "suggest", "check", "convert")
_HIDDEN = ("overwrite", "resume")
_OPTION = re.compile(r"(`volumen [^`]*`)|(?<![\w./-])--([a-z]+(?:-[a-z]+)*)")  # not within a command or a path

_DONE_BY_HAND = (
    (
        re.compile(r"run the same command again,? with --resume(?: where it has that)?|go on with --resume"),
        "press Resume",
    ),
    (re.compile(r" \(--resume\)"), ""),
    (re.compile(r"replace it with --overwrite"), "remove it first"),
    (re.compile(r"start again with --overwrite"), "remove what is there and start again"),
    (re.compile(r"or --overwrite"), "or remove what is there"),
)
"""What the command line is told in an option that no form shows, and a person at a window does: by their words."""


def label_of(name: str, field: FieldInfo | None) -> str:
    """Return what stands beside a field: its title, else its name as a person reads it.

    Examples
    --------
    >>> label_of("learning_rate", None)
    'Learning rate'
    """
    return (field.title if field is not None else None) or name.replace("_", " ").capitalize()


def for_forms(words: str) -> str:
    """Call the options of the command line what forms call them, and say what a window has for going on and replacing.

    Other options that no form shows stay as they are, and so do whole commands.

    Examples
    --------
    >>> for_forms("Give --voxel-um, or --layout.")
    'Give “Voxel edge (µm)”, or --layout.'
    >>> for_forms("a.zarr is already there; go on with --resume, give another path, or replace it with --overwrite.")
    'a.zarr is already there; press Resume, give another path, or remove it first.'
    """
    for said, done in _DONE_BY_HAND:
        words = said.sub(done, words)
    return _OPTION.sub(lambda match: match[1] or _quoted(match[2].replace("-", "_")) or match[0], words)


def with_labels(words: str, fields: Mapping[str, FieldInfo]) -> str:
    """Call fields what forms call them, where words name them as Python does.

    Only names of several words are taken for names: “window” may be just a word.
    """
    return re.sub(
        r"\b[a-z]+(?:_[a-z]+)+\b",
        lambda match: f"“{label_of(match[0], fields[match[0]])}”" if match[0] in fields else match[0],
        words,
    )


def _quoted(name: str) -> str:
    """Return what a form calls a field, in quotes; empty where no form shows it."""
    if name == "out":
        return f"“{WRITE_TO}”"
    kinds = [VERBS[verb].model_fields for verb in _WITH_FORMS]
    field = next((fields[name] for fields in kinds if name in fields and name not in _HIDDEN), None)
    return f"“{label_of(name, field)}”" if field is not None else ""
