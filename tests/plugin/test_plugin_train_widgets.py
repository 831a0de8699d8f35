"""Pretrain and Fine-tune: what is chosen among layers and runs becomes a job; what is wrong is said in words."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import shlex
import threading

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from volumen.cli import FAMILIES
from volumen.cli.arguments import build_parser
from volumen.errors import SettingsError, SourceNotFoundError
from volumen.events import Finished, Started, Stepped, Warned, result, to_json
from volumen.plugin import finetune_widget, predict_widget, pretrain_widget, task_widget, weights_choice
from volumen.plugin import trained as trained_module
from volumen.plugin.beginning import Beginning
from volumen.plugin.finetune_widget import FinetuneWidget
from volumen.plugin.jobs import Job
from volumen.plugin.layers import LayerOrigin, segment_data
from volumen.plugin.painting import Painting
from volumen.plugin.preferences import Preferences
from volumen.plugin.pretrain_widget import PretrainWidget
from volumen.plugin.trained import find_trained, propose, weights_in
from volumen.plugin.weights_choice import WeightsChoice
from volumen.settings import Finetune, Phantom, PretrainSpark
from volumen.settings.job_file import JobFile
from volumen.settings.verbs import VERBS
from volumen.sources.labels.painted import INK, open_painted
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(192, 256), layers=16)))
    return str(path)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    chosen = Preferences(cache=tmp_path / "cache", runs=tmp_path / "runs", device="cpu", memory_fraction=0.5)
    for module in (task_widget, finetune_widget, pretrain_widget, predict_widget):
        monkeypatch.setattr(module, "preferences", lambda: chosen)
    return chosen.runs


@pytest.fixture
def viewer(qapp, phantom):
    model = ViewerModel()
    show(model, phantom)
    return model


def show(viewer, path):
    for data, options, kind in segment_data(open_segment(path)):
        getattr(viewer, f"add_{kind}")(data, **options)


def trained(runs, name, verb, age=0):
    """Make a run that has weights, begun some seconds ago."""
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps({"verb": verb, "settings": {}}))
    (folder / "best.safetensors").write_bytes(b"weights")
    os.utime(folder / "best.safetensors", (1e9 - age, 1e9 - age))
    return folder


@pytest.fixture
def jobs(monkeypatch, qtbot):
    """Return what was started; each job told some events and is over at once."""
    started = []
    told = [
        Started(work="finetune", total=9, unit="steps"),
        Stepped(done=1, total=9),
        Warned(message="16 crops at a time do not fit into memory; going on with 8."),
        Finished(),
    ]

    def start(verb, settings, *, runs):
        folder = runs / ".jobs" / str(len(started))
        folder.mkdir(parents=True)
        JobFile(verb, settings).write(folder)
        gone = {"pid": 2**22 + 1, "started": 0.0, "host": platform.node()}
        (folder / "process.json").write_text(json.dumps(gone))
        (folder / "events.jsonl").write_text("".join(to_json(event) + "\n" for event in told))
        (folder / "exit_code").write_text("0")
        started.append(Job.open(folder))
        return started[-1]

    monkeypatch.setattr(Job, "start", start)
    return started


def begin(widget, qtbot):
    """Start and wait until the panel has seen the end."""
    with qtbot.waitSignal(widget.panel.ended, timeout=20_000):
        widget.start()


def listed(widget, qtbot):
    """Wait until the runs folder was looked through."""
    qtbot.waitUntil(lambda: not widget.weights.looking, timeout=20_000)


def parsed(command):
    """Read a command line as the shell and the command would."""
    options = vars(build_parser(VERBS, FAMILIES).parse_args(shlex.split(command)[1:]))
    verb = " ".join(options.pop(part) for part in ("verb", "word") if part in options)
    return VERBS[verb](**options)


def test_open_segments_are_offered_and_their_flat_layers_are_not(viewer, runs, qtbot, phantom, tmp_path):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.segments.paths() == [phantom]
    np.save(tmp_path / "other.npy", np.zeros((16, 64, 64), np.uint8))
    show(viewer, str(tmp_path / "other.npy"))
    assert widget.segments.paths() == [phantom]
    widget.segments.tick(str(tmp_path / "other.npy"))
    assert widget.segments.paths() == [phantom, str(tmp_path / "other.npy")]
    viewer.layers.remove("other")
    assert widget.segments.paths() == [phantom]
    widget.segments.tick(phantom, False)
    widget.segments.add(phantom)  # browsed for, though it is open
    assert widget.segments.paths() == [phantom]
    widget.segments.add("https://example.org/s.zarr")
    viewer.layers.clear()
    assert widget.segments.paths() == ["https://example.org/s.zarr"]


def test_start_makes_a_job_of_the_defaults_and_the_preferences(viewer, runs, qtbot, jobs, phantom):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    begin(widget, qtbot)
    (job,) = jobs
    assert (job.verb, job.runs) == ("finetune", runs)
    out = str(propose(runs, "phantom", "finetune"))
    assert job.settings == Finetune(segments=(phantom,), out=out, device="cpu", memory_fraction=0.5)
    assert widget.panel.job is job


def test_what_the_job_warns_of_is_said_in_the_window(viewer, runs, qtbot, jobs):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    begin(widget, qtbot)
    assert "do not fit into memory; going on with 8" in widget.panel.messages


def test_copied_and_written_it_is_the_same_job(viewer, runs, qtbot, jobs, tmp_path, monkeypatch):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.form.set_values({"layers": "4:12", "learning_rate": 3e-4, "region": "0:100,0:200", "freeze": True})
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    widget._write.click()
    command = widget.command()
    begin(widget, qtbot)
    assert parsed(command) == JobFile.read(tmp_path).settings == jobs[0].settings
    assert jobs[0].settings.layers == (4, 12)


def test_scrolling_past_a_choice_does_not_change_it(viewer, runs, qtbot):
    trained(runs, "former", "finetune")
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.form.set_values({"epochs": 7})
    for box in (widget._preset, widget.weights._box):
        turn = QWheelEvent(
            QPointF(5, 5),
            QPointF(box.mapToGlobal(QPoint(5, 5))),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(box, turn)
    assert widget.form.values() == {"epochs": 7}, "no preset took its place"
    assert widget.weights.path() is None


def test_the_tab_key_goes_from_top_to_bottom_past_what_is_folded_away(viewer, runs, qtbot):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    inputs = {"segments": widget.segments, "weights": widget.weights, "out": widget.out, "start": widget._start}
    parts = {**inputs, **{name: widget.form.editor(name) for name in widget.form.fields}}
    passed, control = ["segments"], widget.segments._list
    while passed[-1] != "start":
        control = control.nextInFocusChain()
        stops = control.isEnabled() and control.focusPolicy() != Qt.FocusPolicy.NoFocus
        found = next((name for name, part in parts.items() if part is control or part.isAncestorOf(control)), None)
        passed += [found] if stops and found not in (None, passed[-1]) else []
    assert passed == ["segments", "weights", "layers", "epochs", "learning_rate", "batch", "freeze", "out", "start"]


def test_nothing_to_learn_from_is_said_with_its_cure(runs, qtbot, jobs):
    for kind in (FinetuneWidget, PretrainWidget):
        widget = kind(ViewerModel())
        qtbot.addWidget(widget)
        assert widget.start() is None
        assert "Open one first" in widget._message.text()
    assert not jobs


def test_an_output_that_is_there_is_said_before_the_start(viewer, runs, qtbot, jobs, tmp_path):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.out.set_value(str(tmp_path))
    assert widget.start() is None
    assert "already there; choose another place" in widget._message.text()
    assert not jobs
    widget.out.set_value(str(tmp_path / "free"))
    begin(widget, qtbot)
    assert jobs[0].settings.out == str(tmp_path / "free")


def test_settings_that_cannot_be_start_nothing(viewer, runs, qtbot, jobs):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.form.editor("region").set_value("here")
    assert widget.start() is None
    assert "at the field" in widget._message.text()
    assert not jobs


def test_a_training_begins_at_a_run_or_at_an_encoder(viewer, runs, qtbot, jobs):
    former, encoder = trained(runs, "former", "finetune"), trained(runs, "encoder", "pretrain spark", age=5)
    trained(runs, "scores", "evaluate")
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    listed(widget, qtbot)
    assert widget.weights.path() is None
    widget.weights.choose(former)
    begin(widget, qtbot)
    assert (jobs[-1].settings.start, jobs[-1].settings.encoder) == (str(former / "best.safetensors"), None)
    widget.weights.choose(encoder)
    widget.weights.refresh()
    listed(widget, qtbot)
    begin(widget, qtbot)
    assert (jobs[-1].settings.start, jobs[-1].settings.encoder) == (None, str(encoder / "best.safetensors"))
    widget.weights.add("/elsewhere/resnet.pth")
    widget.weights.refresh()
    listed(widget, qtbot)
    begin(widget, qtbot)
    assert (jobs[-1].settings.start, jobs[-1].settings.encoder) == (None, "/elsewhere/resnet.pth")


def test_a_run_that_comes_while_the_widget_is_open_can_be_chosen(viewer, runs, qtbot):
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.show()
    listed(widget, qtbot)
    late = trained(runs, "late", "finetune")
    with qtbot.waitSignal(widget.weights.changed, timeout=20_000):
        pass
    widget.weights.choose(late)
    assert widget.weights.path() == str(late / "best.safetensors")


def test_while_a_slow_folder_is_looked_through_the_window_goes_on_and_says_so(viewer, runs, qtbot, monkeypatch):
    may, threads = threading.Event(), []

    def slow(folder):
        threads.append(threading.current_thread())
        assert may.wait(20)
        return weights_in(folder)

    monkeypatch.setattr(weights_choice, "weights_in", slow)
    run = trained(runs, "former", "finetune")
    made = [WeightsChoice(lambda: runs, "finetune"), WeightsChoice(lambda: runs, "finetune", none="random weights")]
    for choice in made:
        qtbot.addWidget(choice)
        choice.show()
    (needed, free) = made
    assert needed._box.placeholderText() == "looking for runs…"
    assert [free._box.itemText(row) for row in range(free._box.count())] == ["random weights", "looking for runs…"]
    with pytest.raises(SettingsError, match="still being looked through"):
        needed.needed("none")
    free.add("mine.safetensors")
    may.set()
    qtbot.waitUntil(lambda: not needed.looking and not free.looking, timeout=20_000)
    assert needed.needed("none") == str(run / "best.safetensors")
    assert free.path() == "mine.safetensors", "what was chosen meanwhile stays"
    assert threading.main_thread() not in threads


def test_runs_of_another_folder_than_is_preferred_by_now_are_not_listed(runs, qtbot, tmp_path):
    trained(runs, "former", "finetune")
    run = trained(tmp_path / "elsewhere", "latter", "finetune")
    folders = [runs]
    choice = WeightsChoice(lambda: folders[0], "finetune")
    qtbot.addWidget(choice)
    folders[0] = tmp_path / "elsewhere"
    qtbot.waitUntil(lambda: not choice._asking.waiting, timeout=20_000)
    assert choice.looking
    choice.show()
    qtbot.waitUntil(lambda: not choice.looking, timeout=20_000)
    assert [choice._box.itemText(row) for row in range(choice._box.count())] == [run.name]


def test_painted_labels_are_learned_from_and_never_change_under_the_job(viewer, runs, qtbot, jobs, phantom, tmp_path):
    origin = LayerOrigin("segment", phantom, "phantom")
    labels = open_painted(open_segment(phantom), elsewhere=tmp_path / "cache")
    beginning = Beginning.read(labels, None, source=phantom, rescued=tmp_path / "cache")
    painting = Painting(viewer, beginning, viewer.layers["phantom"], origin, rescued=tmp_path / "cache")
    try:
        painting.layer.data_setitem((np.array([50, 51]), np.array([60, 60])), INK)
        widget = FinetuneWidget(viewer)
        qtbot.addWidget(widget)
        begin(widget, qtbot)
        settings = jobs[0].settings
        learned = open_segment(phantom, ink=settings.ink[0], supervision=settings.supervision[0])
        wanted = learned.raster("ink").digest()
        y, x = 50, 60
        pixel = learned.window.layers(0, 1)
        assert learned.raster("ink").read(pixel)[y, x] == 1
        assert learned.raster("supervision").read(pixel)[y, x] == 1
        painting.layer.data_setitem((np.array([50, 51]), np.array([60, 60])), 0)
        painting.flush()
        again = open_segment(phantom, ink=settings.ink[0], supervision=settings.supervision[0])
        assert again.raster("ink").digest() == wanted
        widget.segments.add(str(tmp_path / "unlabelled.npy"))
        np.save(tmp_path / "unlabelled.npy", np.zeros((16, 64, 64), np.uint8))
        assert widget.start() is None
        qtbot.waitUntil(lambda: "Paint on it too" in widget._message.text(), timeout=20_000)
        assert len(jobs) == 1
    finally:
        painting.close()


@pytest.fixture
def painted(viewer, phantom, tmp_path):
    """Paint on the phantom."""
    cache, origin = tmp_path / "cache", LayerOrigin("segment", phantom, "phantom")
    beginning = Beginning.read(
        open_painted(open_segment(phantom), elsewhere=cache), None, source=phantom, rescued=cache
    )
    painting = Painting(viewer, beginning, viewer.layers["phantom"], origin, rescued=cache)
    yield painting
    painting.close()


def test_labels_of_a_remote_segment_are_those_it_was_opened_with(
    viewer, runs, qtbot, jobs, phantom, painted, monkeypatch
):
    remote = dataclasses.replace(open_segment(phantom), source="https://example.org/phantom.zarr")
    for data, options, kind in segment_data(remote):
        getattr(viewer, f"add_{kind}")(data, **options)
    monkeypatch.setattr(finetune_widget, "open_segment", lambda path: pytest.fail(f"nothing is asked of {path}"))
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.segments.tick(remote.source)
    begin(widget, qtbot)
    settings = jobs[0].settings
    assert (settings.ink[1], settings.supervision[1]) == (remote.ink.source, remote.supervision.source)


URL = "https://example.org/other.zarr"


@pytest.fixture
def slow(phantom, monkeypatch):
    """Open no segment before it may be; return what lets it, and the threads that opened one."""
    may, threads = threading.Event(), []

    def wait(path):
        threads.append(threading.current_thread())
        assert may.wait(20)
        if path != URL:
            raise SourceNotFoundError(f"Expected a segment at {path}; there is none.")
        return open_segment(phantom)

    monkeypatch.setattr(finetune_widget, "open_segment", wait)
    yield may, threads
    may.set()


def test_a_segment_by_its_url_is_opened_while_the_window_goes_on(viewer, runs, qtbot, jobs, phantom, painted, slow):
    may, threads = slow
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.segments.add(URL)
    assert widget.start() is None
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    assert "Reading" in widget._message.text()
    assert not any(button.isEnabled() for button in (widget._start, widget._copy, widget._write))
    assert not jobs
    with qtbot.waitSignal(widget.panel.ended, timeout=20_000):
        may.set()
    assert jobs[0].settings.segments == (phantom, URL)
    assert jobs[0].settings.ink[1] == open_segment(phantom).ink.source
    assert widget._start.isEnabled()
    assert threading.main_thread() not in threads


def test_what_was_read_for_another_choice_starts_nothing(viewer, runs, qtbot, jobs, painted, slow):
    may, threads = slow
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.segments.add(URL)
    widget.start()
    qtbot.waitUntil(lambda: bool(threads), timeout=20_000)
    widget.segments.tick(URL, False)
    may.set()
    qtbot.waitUntil(widget._start.isEnabled, timeout=20_000)
    assert not jobs
    assert not widget._message.text()


def test_a_segment_that_cannot_be_opened_is_said(viewer, runs, qtbot, jobs, painted, slow):
    may, _ = slow
    may.set()
    widget = FinetuneWidget(viewer)
    qtbot.addWidget(widget)
    widget.segments.add("https://example.org/gone.zarr")
    widget.start()
    qtbot.waitUntil(lambda: "gone.zarr; there is none" in widget._message.text(), timeout=20_000)
    assert widget._start.isEnabled()
    assert not jobs


def test_what_was_typed_is_there_the_next_time(viewer, runs, qtbot, jobs):
    first = FinetuneWidget(viewer)
    qtbot.addWidget(first)
    first.form.editor("epochs").set_value(17)
    first.form.editor("region").set_value("0:64,0:64")  # of this segment, and of no other
    begin(first, qtbot)
    second = FinetuneWidget(viewer)
    qtbot.addWidget(second)
    assert second.form.values() == {"epochs": 17}
    second._apply_preset(1)
    assert second.form.values() == {}


def test_every_preset_can_be(viewer, runs, qtbot):
    for kind in (FinetuneWidget, PretrainWidget):
        widget = kind(viewer)
        qtbot.addWidget(widget)
        for name, values in widget._presets.items():
            widget.form.set_values(values)
            settings = widget.settings()
            assert settings is not None, name
            assert settings == type(settings)(**{**widget.form._given, **values})


def test_pretraining_takes_any_number_of_segments(viewer, runs, qtbot, jobs, phantom, tmp_path):
    widget = PretrainWidget(viewer)
    qtbot.addWidget(widget)
    widget.segments.add(str(tmp_path / "lines.tsv"))
    widget.form.editor("mode").set_value("paper")
    begin(widget, qtbot)
    assert jobs[0].verb == "pretrain spark"
    wanted = PretrainSpark(
        segments=(phantom, str(tmp_path / "lines.tsv")),
        out=str(propose(runs, "pretrain")),
        mode="paper",
        device="cpu",
        memory_fraction=0.5,
    )
    assert jobs[0].settings == wanted
    assert parsed(widget.command()) == wanted


def test_a_name_that_anything_has_is_not_proposed_and_the_folder_is_asked_once(runs, monkeypatch):
    asked = []
    monkeypatch.setattr(trained_module.os, "listdir", lambda folder: asked.append(folder) or taken)
    taken = [f"S_1_ink_2026-11-21_{number}.zarr" for number in (1, 2, 4)]
    free = propose(runs, "s 1", "ink", ending=".zarr", today=datetime.date(2026, 11, 21))
    assert free == runs / "s_1_ink_2026-11-21_3.zarr"
    assert asked == [runs]


def test_runs_without_weights_or_recipe_are_not_offered(runs):
    trained(runs, "a", "finetune", age=9)
    trained(runs, "b", "finetune")
    (trained(runs, "c", "finetune") / "best.safetensors").unlink()
    (trained(runs, "d", "finetune") / "recipe.json").write_text("{")
    (runs / "notes.txt").write_text("x")
    assert [run.name for run in find_trained(runs, "finetune")] == ["b", "a"]
    assert find_trained(runs / "none", "finetune") == []
