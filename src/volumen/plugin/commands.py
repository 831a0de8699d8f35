"""Commands of napari's palette and menus that open no widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.qt.threading import create_worker
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from volumen.errors import VolumenError
from volumen.plugin.jobs import find_jobs
from volumen.plugin.preferences import preferences

if TYPE_CHECKING:
    from pathlib import Path


def stop_all_jobs() -> None:
    """Stop every job of the runs folder that is under way; what is finished of each is kept."""
    desk = {"total": 0, "desc": "Looking for jobs to stop"}
    create_worker(_stop_jobs, preferences().runs, _connect={"returned": _tell_stopped}, _progress=desk)


def _stop_jobs(runs: Path) -> tuple[int, list[str]]:
    """Stop what runs; return how many jobs that were, and why others could not be stopped."""
    stopped, refused = 0, []
    for job in find_jobs(runs):
        if job.state == "running":
            try:
                job.cancel()
                stopped += 1
            except VolumenError as error:
                refused.append(str(error))
    return stopped, refused


def _tell_stopped(told: tuple[int, list[str]]) -> None:
    stopped, refused = told
    if refused:
        show_warning("\n".join(refused))
    if stopped:
        jobs, them = ("job", "it") if stopped == 1 else ("jobs", "them")
        show_info(f"Stopping {stopped} {jobs}; the Runs widget can go on with {them}.")
    elif not refused:
        show_info("No job is running.")


def open_runs_folder() -> None:
    """Show the folder that runs and jobs are made in."""
    folder = preferences().runs
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        show_warning(f"{folder} cannot be made: {error}. Choose another runs folder in the preferences.")
        return
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
