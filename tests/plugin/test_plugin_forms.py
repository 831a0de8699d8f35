"""Forms: every field of every verb can be shown, said and read back, with words and bounds of the settings."""

from __future__ import annotations

import pytest

pytest.importorskip("napari", reason="needs the extra [napari]")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from pydantic import ValidationError
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QLabel, QPushButton, QSpinBox

from volumen.plugin.editors import Lines, Real, Tick, Ticks, Whole, Words
from volumen.plugin.field_names import for_forms
from volumen.plugin.forms import SettingsForm
from volumen.plugin.remembered import remember, remembered
from volumen.settings import Finetune, Predict, PretrainSpark
from volumen.settings.fields import limits, metavar
from volumen.settings.verbs import VERBS

LEARN = {"segments": ("a.zarr",), "out": "run"}


@pytest.fixture
def finetune(qtbot):
    form = SettingsForm(Finetune, ("layers", "epochs", "learning_rate"), hidden=("segments", "out"))
    qtbot.addWidget(form)
    form.give(**LEARN)
    return form


WORDS = {"SEGMENT:Y,X": "a:1,2"}  # what a required field is given, by its form; a path else


def words_of(form):
    """Return all that is shown in red."""
    return [label.text() for label in form.findChildren(QLabel) if "color" in label.styleSheet() and label.text()]


@pytest.mark.parametrize("verb", VERBS)
def test_a_form_at_rest_says_the_defaults_of_its_verb(qtbot, verb):
    kind = VERBS[verb]
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    words = {name: WORDS.get(metavar(kind.model_fields[name]), "a.json") for name in required}
    least = {
        name: (word,) if "tuple" in str(kind.model_fields[name].annotation) else word for name, word in words.items()
    }
    form = SettingsForm(kind, (), hidden=required)
    qtbot.addWidget(form)
    form.give(**least)
    assert form.settings() == kind(**least)
    assert form.values().keys() <= {"mode"}
    assert not words_of(form)


@pytest.mark.parametrize(
    "chosen",
    [
        Finetune(
            **LEARN,
            layers="22:42",
            region=(0, 400, 320, 640),
            stride=16,
            learning_rate=3e-7,
            freeze=True,
            ink=("b.png", "c d.png"),
            score="dice",
            held_out_share=0.123456,
            voxel_um=7.91,
        ),
        PretrainSpark(**LEARN, mode="paper", window="64,256", input_size=(32, 224), epochs=7, encoder="w.pth"),
        PretrainSpark(**LEARN, window=128, masked=0.25),
        Predict(checkpoint="c", segment="s", out="o", near="5,6", layers=20, export=("tiff",), skip_mask=False),
    ],
)
def test_what_settings_say_a_form_shows_and_says_again(qtbot, chosen):
    form = SettingsForm(type(chosen), ())
    qtbot.addWidget(form)
    form.set_values(chosen.model_dump())
    assert form.settings() == chosen
    form.set_values(chosen.model_dump(mode="json"))
    assert form.settings() == chosen
    form.reset()
    form.set_values(form.values())
    form.set_values({name: getattr(chosen, name) for name in type(chosen).model_fields})
    assert form.settings() == chosen


def test_each_field_has_the_control_that_fits_it_with_its_bounds_and_help(finetune):
    kinds = {"freeze": Tick, "epochs": Whole, "learning_rate": Real, "score": Words, "ink": Lines}
    for name, kind in kinds.items():
        assert isinstance(finetune.editor(name), kind)
    assert finetune.fields[:3] == ("layers", "epochs", "learning_rate")
    for name, field in Finetune.model_fields.items():
        if name not in finetune.fields:
            continue
        tip = finetune.editor(name).toolTip()
        flag = f"--{'no-' if field.default is True else ''}{name.replace('_', '-')}"
        assert f">{flag}" in tip, "of what is on, the option that turns it off"
        assert field.description.split(";")[0].split("'")[0] in tip
        for box in finetune.editor(name).findChildren((QSpinBox, QDoubleSpinBox)):
            bounds = limits(field)
            assert box.minimum() == bounds.get("ge", bounds.get("gt", box.minimum()))
            assert box.maximum() == bounds.get("le", bounds.get("lt", box.maximum()))


def test_export_is_ticked_word_by_word(qtbot):
    form = SettingsForm(Predict, ("export",))
    qtbot.addWidget(form)
    assert isinstance(form.editor("export"), Ticks)
    form.editor("export").set_value(["png"])
    assert form.values() == {"export": ["png"]}


def test_small_rates_are_written_as_people_write_them(finetune):
    box = finetune.editor("learning_rate").findChild(QDoubleSpinBox)
    finetune.set_values({"learning_rate": 1e-5})
    assert box.text() == "1e-05"
    box.lineEdit().setText("2.5e-6")
    assert finetune.settings().learning_rate == 2.5e-6


def test_a_field_says_what_is_wrong_with_it_in_words(qtbot, finetune):
    finetune.editor("region").set_value("9:5,0:4")
    assert words_of(finetune) == ["a range must start at 0 or later and end after it starts; got 9:5"]
    finetune.editor("region").set_value("nonsense")
    (words,) = words_of(finetune)
    assert words.startswith("expected Y0:Y1,X0:X1")
    with pytest.raises(ValidationError):
        finetune.settings()
    finetune.editor("region").set_value("")
    assert not words_of(finetune)
    finetune.editor("input_size").set_value("33")  # a rule of all settings together, named after the field
    assert words_of(finetune) == ["“Input size (px)” must be a multiple of 32; got 33"]


def test_a_picture_as_a_map_is_refused_in_the_words_of_the_form(qtbot):
    form = SettingsForm(Predict, ("export",), hidden=("checkpoint", "segment", "out"))
    qtbot.addWidget(form)
    form.give(checkpoint="c", segment="s", out="ink.png")
    assert not form.check()
    (words,) = words_of(form)
    assert words.endswith("Give “Write to” ink.zarr “Export” png")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("a is already there; give another path, or replace it with --overwrite.", "or remove it first."),
        ("Free some space and run the same command again, with --resume where it has that.", "space and press Resume."),
        ("Give the same settings, another path, or --overwrite.", "another path, or remove what is there."),
        ("/data/some--window/a.zarr has no layers; choose others (--layers).", "choose others (“Layers”)."),
        ("Give it to `volumen finetune --encoder a`.", "`volumen finetune --encoder a`."),
    ],
)
def test_what_a_window_has_no_option_for_is_said_by_what_it_has(said, wanted):
    words = for_forms(said)
    assert words.endswith(wanted)
    assert words.startswith(said.split(";")[0].split(",")[0][:20]), "the rest stays"


def test_what_is_missing_is_said_only_when_it_is_asked_for(qtbot):
    form = SettingsForm(Finetune, ("epochs",), hidden=("segments", "out"))
    qtbot.addWidget(form)
    form.editor("epochs").set_value(3)
    assert not words_of(form)
    assert not form.check()
    assert "Segments: must be given" in words_of(form)[0]
    form.give(**LEARN)
    assert form.check()


def test_a_mode_fills_in_what_was_not_given_otherwise(qtbot):
    form = SettingsForm(PretrainSpark, ("mode",), hidden=("segments", "out"))
    qtbot.addWidget(form)
    form.give(**LEARN)
    form.editor("epochs").set_value(9)
    form.editor("mode").set_value("paper")
    assert form.settings() == PretrainSpark(**LEARN, mode="paper", epochs=9)
    assert form.editor("learning_rate").value() == 2e-4
    assert form.values() == {"mode": "paper", "epochs": 9}
    form.editor("mode").set_value("practical")
    assert form.settings() == PretrainSpark(**LEARN, epochs=9)


def test_what_differs_from_the_default_is_bold_and_told(finetune, qtbot):
    with qtbot.waitSignal(finetune.changed):
        finetune.editor("epochs").set_value(7)
    bold = [label.text() for label in finetune.findChildren(QLabel) if label.font().bold()]
    assert bold == ["Epochs"]
    assert finetune.values() == {"epochs": 7}
    finetune.reset()
    assert finetune.values() == {}


def test_given_fields_are_replaced_not_heaped_up(finetune):
    finetune.give(**LEARN, ink=("a.png",), encoder=None)
    assert finetune.settings().ink == ("a.png",)
    finetune.give(**LEARN)
    assert finetune.settings().ink == ()


def test_scrolling_past_a_number_does_not_change_it(finetune, qtbot):
    finetune.show()
    box = finetune.editor("epochs").findChild(QSpinBox)
    box.clearFocus()
    turn = QWheelEvent(
        QPointF(5, 5),
        QPointF(box.mapToGlobal(QPoint(5, 5))),
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(box, turn)
    assert box.value() == 100


def test_a_box_can_be_taken_from_what_was_drawn(qtbot):
    form = SettingsForm(Finetune, ("region",), hidden=("segments", "out"), pick_region=lambda: "1:2,3:4")
    qtbot.addWidget(form)
    form.editor("region").findChild(QPushButton).click()
    assert form.values() == {"region": "1:2,3:4"}


def test_a_value_of_another_type_leaves_the_usual_one(qtbot):
    form = SettingsForm(Finetune, ("epochs", "learning_rate", "batch"), hidden=("segments", "out"))
    qtbot.addWidget(form)
    form.set_values({"epochs": "many", "learning_rate": [1], "batch": 4})
    assert form.values() == {"batch": 4}


def test_values_are_remembered_and_damage_is_no_obstacle(tmp_path):
    runs = tmp_path / "runs"
    assert remembered(runs, "finetune") == {}
    remember(runs, "finetune", {"epochs": 3})
    remember(runs, "predict", {"tile": 256})
    assert remembered(runs, "finetune") == {"epochs": 3}
    (runs / ".forms.json").write_text('{"finetune": 3')
    assert remembered(runs, "finetune") == {}
    remember(runs, "finetune", {"epochs": 4})
    assert remembered(runs, "finetune") == {"epochs": 4}
