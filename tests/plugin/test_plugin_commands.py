"""Commands of the palette: what they do to jobs, and that the window does not wait for the runs folder."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from volumen.errors import SourceError
from volumen.plugin import commands
from volumen.plugin.preferences import Preferences

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(commands, "preferences", lambda: Preferences(cache=tmp_path, runs=tmp_path))
    for name in ("show_info", "show_warning"):
        monkeypatch.setattr(commands, name, heard.append)
    return heard


def job(state: str, cancel: Any = lambda: None) -> Any:
    return SimpleNamespace(state=state, cancel=cancel)


def test_jobs_are_stopped_while_the_window_goes_on(
    told: list[str], monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    may, stopped = threading.Event(), []

    def refuse() -> None:
        raise SourceError("The job runs on another machine.")

    def find(runs: Path) -> list[Any]:
        assert may.wait(20)
        mine = job("running", lambda: stopped.append(threading.current_thread()))
        return [job("finished", lambda: stopped.append(None)), mine, job("running", refuse)]

    monkeypatch.setattr(commands, "find_jobs", find)
    commands.stop_all_jobs()
    assert not told, "it returned before it had found any"
    may.set()
    qtbot.waitUntil(lambda: len(told) == 2, timeout=20_000)
    assert told == ["The job runs on another machine.", "Stopping 1 job; the Runs widget can go on with it."]
    assert len(stopped) == 1
    assert threading.main_thread() not in stopped


def test_that_there_is_nothing_to_stop_is_said(told: list[str], monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> None:
    monkeypatch.setattr(commands, "find_jobs", lambda runs: [job("stopped")])
    commands.stop_all_jobs()
    qtbot.waitUntil(lambda: bool(told), timeout=20_000)
    assert told == ["No job is running."]
