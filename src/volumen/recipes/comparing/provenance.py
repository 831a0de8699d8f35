"""provenance: what the runs of a comparison stand on, for the foot of its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Facts = list[tuple[str, str]]


def provenance(content: Mapping[str, Any], *, source: str) -> list[tuple[str, Facts]]:
    """Tell where the weights come from, of which versions the runs are, and what data they read.

    Parameters
    ----------
    content
        What a comparison wrote down before its first run: ``encoders``, ``versions`` and ``segments``.
    source
        What one of the ``segments`` is called: ``Photographs``, ``Lines``.
    """
    told = [(f"Weights {name}", facts(known)) for name, known in content["encoders"].items()]
    told.append(("Versions", facts(content["versions"])))
    return told + [(f"{source} {known['name']}", facts(known)) for known in content["segments"]]


def facts(known: Mapping[str, Any]) -> Facts:
    """Lay out what is known, name by name: a mapping's own entries in its place, and nothing that is None."""
    told: Facts = []
    for name, value in known.items():
        if isinstance(value, dict):
            told += facts(value)
        elif value is not None:
            told.append((name, str(value)))
    return told
