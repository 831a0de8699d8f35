"""Write docs/public.txt, all that scripts may rely on, a line each: ``python docs/make_public.py``.

Whoever changes a name, an argument, a default or a verb finds it in the difference of that file, and so does whoever
reviews it.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import volumen
from volumen import cli, errors, events, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).with_name("public.txt")


def make() -> str:
    """Return the whole list."""
    return "\n".join(lines()) + "\n"


def lines() -> Iterator[str]:
    """Yield what is public: names of the front door, settings, verbs, events and errors."""
    for name in sorted(set(volumen.__all__) - {"settings"}):
        thing = getattr(volumen, name)
        if inspect.isclass(thing):
            public = sorted(member for member in dir(thing) if not member.startswith("_"))
            yield f"volumen.{name}{_arguments(thing)}: {', '.join(public)}"
        else:
            yield f"volumen.{name}{_arguments(thing)}"
    for name in settings.__all__:
        for field, about in getattr(settings, name).model_fields.items():
            default = "required" if about.is_required() else repr(about.get_default(call_default_factory=True))
            yield f"volumen.settings.{name}.{field} = {default}"
    for verb, model in cli.VERBS.items():
        yield f"$ volumen {verb} {' '.join(model.positional)}".rstrip()
    for name, kind in inspect.getmembers(events, is_dataclass):
        yield f"volumen.events.{name}: {', '.join(field.name for field in fields(kind))}"
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            yield f"volumen.errors.{name}({', '.join(base.__name__ for base in kind.__bases__)})"


def _arguments(thing: object) -> str:
    """Return the names of arguments, with their defaults, without types."""
    shown = []
    for parameter in inspect.signature(thing).parameters.values():  # type: ignore[arg-type]
        shown.append(str(parameter.replace(annotation=inspect.Parameter.empty)))
    return f"({', '.join(shown)})"


if __name__ == "__main__":
    HOME.write_text(make(), "utf-8")
