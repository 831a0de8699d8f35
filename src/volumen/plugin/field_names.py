"""Field names: what the settings are called in forms, also in messages that name them as the command line does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

_WITH_FORMS = ("finetune", "predict", "pretrain spark", "index", "search", "suggest", "check", "convert")
_HIDDEN = ("out", "overwrite", "resume")


def label_of(name: str, field: FieldInfo | None) -> str:
    """Return what stands beside a field: its title, else its name as a person reads it.

    Examples
    --------
    >>> label_of("learning_rate", None)
    'Learning rate'
    """
    return (field.title if field is not None else None) or name.replace("_", " ").capitalize()


def for_forms(words: str) -> str:
    """Call the options of the command line what forms call them; those that no form shows stay as they are.

    Examples
    --------
    >>> for_forms("Give --voxel-um, or --overwrite.")
    'Give “Voxel edge (µm)”, or --overwrite.'
    """
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: _quoted(match[1].replace("-", "_")) or match[0], words)


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
    kinds = [VERBS[verb].model_fields for verb in _WITH_FORMS]
    field = next((fields[name] for fields in kinds if name in fields and name not in _HIDDEN), None)
    return f"“{label_of(name, field)}”" if field is not None else ""
