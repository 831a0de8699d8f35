"""Asking: the window goes on while a thread reads, and takes the answer to its last question alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QWidget

from volumen.errors import SourceError
from volumen.plugin.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20_000  # ms


class Reader:
    """Read nothing until it is let; ``may`` is set by the test."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, said: str) -> str:
        self.thread = threading.current_thread()
        assert self.may.wait(PATIENCE / 1000)
        if said.startswith("no"):
            raise SourceError(said)
        return said


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.may.set()


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def widget(qapp: Any) -> QWidget:
    return QWidget()


@pytest.fixture
def asking(widget: QWidget, heard: list[str]) -> Asking:
    return Asking(widget, lambda words: heard.append(f"failed: {words}"))


def all_done(qtbot: Any) -> None:
    """Wait until no thread works, and what they said was heard."""
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=PATIENCE)
    heard: list[bool] = []
    QTimer.singleShot(0, lambda: heard.append(True))
    qtbot.waitUntil(lambda: bool(heard), timeout=PATIENCE)


@pytest.mark.parametrize("words", ["", "Reading …"])
def test_the_window_goes_on_while_a_thread_reads(
    asking: Asking, reader: Reader, heard: list[str], qtbot: Any, words: str
) -> None:
    asking.ask(reader, "yes", then=heard.append, words=words)
    went_on: list[bool] = []
    QTimer.singleShot(0, lambda: went_on.append(True))
    qtbot.waitUntil(lambda: bool(went_on) and reader.thread is not None, timeout=PATIENCE)
    assert asking.waiting
    assert not heard
    reader.may.set()
    qtbot.waitUntil(lambda: not asking.waiting, timeout=PATIENCE)
    assert heard == ["yes"]
    assert reader.thread is not threading.main_thread()


def test_a_look_takes_no_place_from_what_a_person_waits_for(
    asking: Asking, reader: Reader, heard: list[str], qtbot: Any
) -> None:
    pool = QThreadPool.globalInstance()
    before = pool.maxThreadCount()
    pool.setMaxThreadCount(1)
    try:
        asking.ask(reader, "a look", then=heard.append)
        qtbot.waitUntil(lambda: reader.thread is not None, timeout=PATIENCE)
        asking.ask(str.upper, "yes", then=heard.append, words="Reading …")
        qtbot.waitUntil(lambda: heard == ["YES"], timeout=PATIENCE)
    finally:
        pool.setMaxThreadCount(before)


def test_what_went_wrong_is_told_in_words(asking: Asking, reader: Reader, heard: list[str], qtbot: Any) -> None:
    reader.may.set()
    asking.ask(reader, "no such file", then=heard.append)
    qtbot.waitUntil(lambda: bool(heard), timeout=PATIENCE)
    assert heard == ["failed: no such file"]


def test_an_answer_to_an_earlier_question_is_dropped(
    asking: Asking, reader: Reader, heard: list[str], qtbot: Any
) -> None:
    for said in ("first", "no second", "third"):
        asking.ask(reader, said, then=heard.append)
    reader.may.set()
    all_done(qtbot)
    assert heard == ["third"]


def test_an_answer_for_a_widget_that_was_closed_is_dropped(
    widget: QWidget, asking: Asking, reader: Reader, heard: list[str], qtbot: Any
) -> None:
    asking.ask(reader, "yes", then=heard.append)
    widget.close()
    assert heard == ["failed: "]
    reader.may.set()
    all_done(qtbot)
    assert heard == ["failed: "]


def test_an_answer_for_a_widget_that_napari_took_out_of_its_dock_is_dropped(
    widget: QWidget, asking: Asking, reader: Reader, heard: list[str], qtbot: Any
) -> None:
    dock = QWidget()
    qtbot.addWidget(dock)
    widget.setParent(dock)
    asking.ask(reader, "yes", then=heard.append)
    widget.setParent(None)
    reader.may.set()
    all_done(qtbot)
    assert heard == ["failed: "]


def test_an_answer_for_a_widget_that_is_gone_is_dropped(
    widget: QWidget, asking: Asking, reader: Reader, heard: list[str], qtbot: Any
) -> None:
    asking.ask(reader, "yes", then=heard.append)
    with qtbot.waitSignal(widget.destroyed, timeout=PATIENCE):
        widget.deleteLater()
    reader.may.set()
    all_done(qtbot)
    assert not heard
