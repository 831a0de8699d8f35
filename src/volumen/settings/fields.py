"""What a settings field is: its type, bounds, choices and help, for whoever derives options or forms from it."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def describe(field: FieldInfo) -> str:
    """Join a field's description, unit, bounds and default into one line."""
    narrowest = _narrowest(limits(field))
    bounds = [f"{sign} {narrowest[key]}" for key, sign in _BOUNDS.items() if key in narrowest]
    if unit := _extra(field, "unit"):
        bounds.insert(0, unit)
    default = field.default
    if default is True:
        bounds.append("default on")
    elif not (field.is_required() or default is None or default is False or default == ()):
        bounds.append(f"default {_written(default)}")
    if is_list(field):
        known = choices(get_args(bare(field))[0])
        if metavar(field) and known and set(known) != set(default or ()):
            bounds.insert(0, f"any of {', '.join(known)}")
        bounds.append("may be repeated")
    suffix = f" ({'; '.join(bounds)})" if bounds else ""
    return f"{field.description}{suffix}"


def _written(default: Any) -> str:
    if not isinstance(default, tuple):
        return str(default)
    return (", " if any(isinstance(part, str) for part in default) else ",").join(map(str, default))


def option(name: str) -> str:
    """Return what a field is called on the command line.

    Examples
    --------
    >>> option("learning_rate"), option("k")
    ('--learning-rate', '-k')
    """
    return "-" * (1 if len(name) == 1 else 2) + name.replace("_", "-")


def bare(field: FieldInfo) -> Any:
    """Return a field's type without its annotations and without None."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def is_list(field: FieldInfo) -> bool:
    """Say whether a field takes any number of values."""
    kind = bare(field)
    return get_origin(kind) is tuple and Ellipsis in get_args(kind)


def choices(kind: Any) -> tuple[str, ...] | None:
    """Return what a type allows where it is one of a few words, else None."""
    return get_args(kind) if get_origin(kind) is Literal else None


def item_choices(field: FieldInfo) -> tuple[str, ...] | None:
    """Return what each value of a list may be, where that is one of a few words and they are not written together."""
    return None if metavar(field) else choices(get_args(bare(field))[0])


def limits(field: FieldInfo) -> dict[str, float]:
    """Return a number's bounds, the tightest of each kind, as pydantic names them: ``ge``, ``gt``, ``le``, ``lt``."""
    found: dict[str, float] = {}
    for rule in _rules(field):
        for key in _BOUNDS:
            if hasattr(rule, key):
                tighter = max if key in ("ge", "gt") else min
                found[key] = tighter(found.get(key, getattr(rule, key)), getattr(rule, key))
    return found


def _narrowest(bounds: dict[str, float]) -> dict[str, float]:
    """Leave out what a stricter bound implies, such as at least 0 where it must be above 0."""
    implied = set()
    if "gt" in bounds and "ge" in bounds:
        implied.add("ge" if bounds["gt"] >= bounds["ge"] else "gt")
    if "lt" in bounds and "le" in bounds:
        implied.add("le" if bounds["lt"] <= bounds["le"] else "lt")
    return {key: value for key, value in bounds.items() if key not in implied}


def metavar(field: FieldInfo) -> str | None:
    """Return the form in which a value is written, such as ``Y0:Y1,X0:X1``, where the settings say it."""
    return _extra(field, "metavar")


def _extra(field: FieldInfo, key: str) -> str | None:
    """Return what the settings, or the type of the field, say beside pydantic's own words."""
    extras = [field.json_schema_extra]
    for part in get_args(field.annotation):
        extras.extend(getattr(info, "json_schema_extra", None) for info in getattr(part, "__metadata__", ()))
    for extra in extras:
        if isinstance(extra, dict) and key in extra:
            return str(extra[key])
    return None


def _rules(field: FieldInfo) -> list[Any]:
    """Collect a field's constraints, also those of an annotated type inside an optional one."""
    rules = list(field.metadata)
    for part in (field.annotation, *get_args(field.annotation)):
        for info in getattr(part, "__metadata__", ()):
            rules.extend(getattr(info, "metadata", ()))
    return rules
