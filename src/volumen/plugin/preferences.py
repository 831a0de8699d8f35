"""Preferences: what a person sets once for all jobs, in napari's own Preferences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from napari import settings as napari_settings
from platformdirs import user_cache_path, user_documents_path

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What all jobs that are started from the window share.

    Parameters
    ----------
    device
        Where to compute.
    memory_fraction
        Share of a GPU's memory that a job may take.
    cache
        Folder of what can be made again: the sample, converted segments, labels of segments that cannot be written to.
    runs
        Folder that runs and jobs are made in.
    """

    device: Device = "auto"
    memory_fraction: float = 1.0
    cache: Path
    runs: Path


def preferences() -> Preferences:
    """Return the preferences as they are now; the defaults, where napari has no page for them.

    Examples
    --------
    >>> preferences().runs.name
    'volumen-runs'
    """
    computing, folders = _page("computing"), _page("folders")
    return Preferences(
        device=cast("Device", str(getattr(computing, "device", "auto"))),
        memory_fraction=float(getattr(computing, "memory_fraction", 1.0)),
        cache=_folder(getattr(folders, "cache", ""), user_cache_path("volumen")),
        runs=_folder(getattr(folders, "runs", ""), user_documents_path() / "volumen-runs"),
    )


def _page(name: str) -> Any:
    """Return a page of napari's plugin preferences, None where there is none."""
    try:
        return getattr(napari_settings.get_plugin_settings("volumen"), name, None)
    except KeyError:  # the plugin is switched off, or was installed after napari had looked
        return None


def _folder(chosen: str, default: Path) -> Path:
    return Path(chosen).expanduser() if chosen.strip() else default
