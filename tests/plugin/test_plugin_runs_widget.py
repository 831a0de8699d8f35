"""The Runs widget shows every run, compares those that are selected, and goes on from one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pyqtgraph", reason="needs the extra [napari]")

from qtpy.QtWidgets import QApplication

from volumen.events import Finished, Scored, Started, Stepped, to_json
from volumen.plugin import runs_widget
from volumen.plugin.finetune_widget import FinetuneWidget
from volumen.plugin.preferences import Preferences
from volumen.plugin.runs_widget import RunsWidget
from volumen.settings import Finetune
from volumen.sources.pyramids.probability_map import create_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not (shutil.which("Xvfb") or os.environ.get("DISPLAY")),
    reason="a window needs a display: install Xvfb, as .ci/run does",
)


def write_run(runs: Path, name: str, *, epochs: int, finished: bool) -> Path:
    """Write a run as training leaves it, without a training."""
    path = runs / name
    path.mkdir(parents=True)
    settings = Finetune(segments=("/data/scan.zarr",), out=str(path), epochs=5, batch=8 * epochs)
    recipe = {"verb": "finetune", "settings": settings.model_dump(mode="json")}
    (path / "recipe.json").write_text(json.dumps(recipe))
    events: list[object] = [Started(work="finetune", total=5, unit="steps", detail={"steps_per_epoch": 1})]
    for epoch in range(1, epochs + 1):
        events.append(Stepped(done=epoch, total=5, values={"loss": 1 / epoch}))
        scores = {"average_precision": 0.1 * epoch, "loss": 2 / epoch}
        events.append(Scored(step=epoch, scores=scores, best=True))
    events += [Finished(result={"run": str(path)})] if finished else []
    (path / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in events))
    (path / "best.safetensors").touch()
    return path


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs_widget, "preferences", lambda: Preferences(cache=tmp_path, runs=tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def widget(make_napari_viewer_proxy: Callable, runs: Path) -> RunsWidget:
    viewer = make_napari_viewer_proxy()
    widget = RunsWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Runs to test")
    return widget


def show(widget: RunsWidget, qtbot: object, count: int) -> None:
    widget.refresh()
    qtbot.waitUntil(lambda: widget.table.rowCount() == count, timeout=30_000)


def column(widget: RunsWidget, number: int) -> dict[str, str]:
    rows = range(widget.table.rowCount())
    return {widget.table.item(row, 0).text(): widget.table.item(row, number).text() for row in rows}


def offered(widget: RunsWidget) -> set[str]:
    return {name for name, button in widget.buttons.items() if button.isEnabled()}


def select(widget: RunsWidget, name: str) -> None:
    rows = [row for row in range(widget.table.rowCount()) if widget.table.item(row, 0).text() == name]
    widget.table.selectRow(rows[0])


def test_runs_are_listed_compared_and_kept_selected(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    write_run(runs, "first", epochs=2, finished=True)
    write_run(runs, "second", epochs=3, finished=False)
    show(widget, qtbot, 2)
    assert column(widget, 2) == {"first": "finished", "second": "running elsewhere"}
    assert column(widget, 3) == {"first": "epoch 2 of 5", "second": "epoch 3 of 5"}
    assert offered(widget) == set()
    widget.table.selectAll()
    assert offered(widget) == {"Report"}
    assert set(widget.losses.names) == set(widget.scores.names) == {"first", "second"}
    assert np.allclose(widget.scores.points("second")[1], [0.1, 0.2, 0.3])
    differing = {widget.settings.item(row, 0).text() for row in range(widget.settings.rowCount()) if _bold(widget, row)}
    assert differing == {"out", "batch"}
    select(widget, "first")
    assert set(widget.losses.names) == {"training", "held out"}
    write_run(runs, "third", epochs=1, finished=False)
    show(widget, qtbot, 3)
    assert [entry.name for entry in widget.table.selected] == ["first"], "the rows moved, the selection did not"


def test_a_look_that_finds_nothing_changed_leaves_what_is_shown(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    write_run(runs, "first", epochs=2, finished=True)
    show(widget, qtbot, 1)
    select(widget, "first")
    widget.settings.setColumnWidth(0, 77)
    widget.settings.selectRow(1)
    chosen: list[bool] = []
    widget.table.chosen.connect(lambda: chosen.append(True))
    widget._show(widget._list.look())
    assert not chosen
    write_run(runs, "second", epochs=1, finished=True)
    widget._show(widget._list.look())  # its row moves
    assert chosen
    assert widget.settings.columnWidth(0) == 77
    assert {item.row() for item in widget.settings.selectedItems()} == {1}


def _bold(widget: RunsWidget, row: int) -> bool:
    return widget.settings.item(row, 0).font().bold()


def test_the_command_of_a_run_is_the_one_that_makes_it(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    path = write_run(runs, "first", epochs=2, finished=True)
    show(widget, qtbot, 1)
    select(widget, "first")
    assert offered(widget) == {"Report", "Use as encoder", "Copy as command", "Open folder"}
    widget.buttons["Copy as command"].click()
    said = QApplication.clipboard().text()
    assert said == f"volumen finetune /data/scan.zarr --out {path} --epochs 5"


def test_weights_become_the_encoder_of_the_next_training(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    path = write_run(runs, "first", epochs=2, finished=True)
    show(widget, qtbot, 1)
    select(widget, "first")
    with qtbot.waitSignal(widget.encoder_chosen) as chosen:
        widget.buttons["Use as encoder"].click()
    assert chosen.args == [str(path / "best.safetensors")]
    forms = [form for form in QApplication.allWidgets() if isinstance(form, FinetuneWidget)]
    assert [form.weights.path() for form in forms] == chosen.args


def test_a_prediction_that_is_loaded_again_takes_its_own_place(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    path = write_run(runs, "first", epochs=1, finished=True)
    create_map(path / "predictions" / "map.zarr", shape=(8, 8), settings={}).finish()
    show(widget, qtbot, 1)
    assert "Select a run" in widget._words.text()
    select(widget, "first")
    for _ in range(2):
        widget.buttons["Load prediction"].click()
    assert [layer.name for layer in widget._viewer.layers] == ["map"]


def test_what_fails_to_start_again_says_why(widget: RunsWidget, runs: Path, qtbot: object) -> None:
    path = write_run(runs, "left", epochs=1, finished=False)
    os.utime(path / "events.jsonl", (1e9, 1e9))
    show(widget, qtbot, 1)
    select(widget, "left")
    assert column(widget, 2) == {"left": "unfinished"}
    with qtbot.waitSignal(widget.panel.ended, timeout=120_000):
        widget.buttons["Resume"].click()
    assert "/data/scan.zarr" in widget.panel.messages, "the segment is gone, and its name is said"
    qtbot.waitUntil(lambda: column(widget, 2) == {"left": "failed"}, timeout=30_000)
