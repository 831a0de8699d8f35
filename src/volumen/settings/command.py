"""Settings as the arguments of the command line that stand for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from volumen.settings.fields import metavar, option
from volumen.settings.verbs import VERBS

if TYPE_CHECKING:
    from volumen.settings.base import Settings

    Chosen = TypeVar("Chosen", bound=Settings)


def command_line(verb: str, settings: Settings) -> list[str]:
    """Return the arguments after ``volumen`` that stand for settings: only what differs from the defaults.

    Parsed by the command line they give equal settings again.

    Parameters
    ----------
    verb
        As the command line calls it, such as ``"pretrain spark"``.
    settings
        Those of the verb.

    Examples
    --------
    >>> from volumen.settings import Finetune
    >>> command_line("finetune", Finetune(segments=("a.zarr", "b.zarr"), out="run", layers="22:42", freeze=True))
    ['finetune', 'a.zarr', 'b.zarr', '--out', 'run', '--layers', '22:42', '--freeze']
    """
    kind = VERBS[verb]
    values, usual = settings.model_dump(mode="json"), _usual(settings).model_dump(mode="json")
    given: list[str] = []
    options: list[str] = []
    for name, field in kind.model_fields.items():
        if name in kind.positional:
            value = values[name]
            given += value if isinstance(value, list) else [str(value)]
        elif field.is_required() or values[name] != usual[name]:
            options += _option(option(name), values[name])
    words = verb.split()
    if any(text.startswith("-") for text in given):
        return [*words, *options, "--", *given]
    return [*words, *given, *options]


def absolute(settings: Chosen) -> Chosen:
    """Write local paths in full, so that the settings mean the same in any folder.

    Examples
    --------
    >>> from volumen.settings import Resume
    >>> os.path.isabs(absolute(Resume(run="runs/first")).run)
    True
    """
    changes: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if metavar(field) == "PATH" and value is not None:
            changes[name] = tuple(map(full_path, value)) if isinstance(value, tuple) else full_path(value)
    return settings.model_copy(update=changes)


def full_path(path: str) -> str:
    """Write a local path in full; a URL stays as it is.

    Examples
    --------
    >>> full_path("https://example.org/a.zarr"), full_path("/data/../a.zarr")
    ('https://example.org/a.zarr', '/a.zarr')
    """
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def _usual(settings: Settings) -> Settings:
    """Return what the settings would be with only what must be given, and the mode where there are modes."""
    kind = type(settings)
    least = {name: getattr(settings, name) for name, field in kind.model_fields.items() if field.is_required()}
    if kind.modes:
        least["mode"] = getattr(settings, "mode")  # noqa: B009 - only some settings have one
    usual = kind(**least)
    # a mode that is not the default must be said, though it is what the others are measured against
    return usual.model_copy(update={"mode": kind.model_fields["mode"].default}) if kind.modes else usual


def _option(flag: str, value: Any) -> list[str]:
    match value:
        case True:
            return [flag]
        case False:
            return ["--no-" + flag.removeprefix("--")]
        case list():
            return [word for item in value for word in _option(flag, item)]
        case None:
            return [flag, "none"]
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
