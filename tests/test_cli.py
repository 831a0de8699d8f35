"""The command line is derived from the settings, and says errors in words."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from volumen import cli, settings
from volumen.cli.arguments import build_parser
from volumen.cli.next_step import NEXT
from volumen.events import Finished, Started, Stepped, Transcribed
from volumen.settings.fields import bare, describe, limits, option


def parse(*arguments):
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    return vars(parser.parse_args(arguments))


def test_text_becomes_settings():
    options = parse("finetune", "a.zarr", "b.zarr", "--out", "run", "--layers", "22:42", "--epochs", "3", "--freeze")
    assert options.pop("verb") == "finetune"
    chosen = settings.Finetune(**options)
    assert chosen.segments == ("a.zarr", "b.zarr")
    assert chosen.layers == (22, 42)
    assert chosen.epochs == 3
    assert chosen.freeze


def test_paths_are_text_or_path_objects_one_or_several():
    one = settings.Read(checkpoint=Path("run"), images=Path("page.xml"))
    several = settings.Read(checkpoint="run", images=[Path("a.png"), "b.png"])
    assert (one.checkpoint, one.images, several.images) == ("run", ("page.xml",), ("a.png", "b.png"))
    with pytest.raises(ValueError, match="images"):
        settings.Read(checkpoint="run", images=3)


def test_lists_are_repeated_options_and_swallow_nothing():
    options = parse("predict", "--export", "png", "--export", "tiff", "--mask", "m.png", "run", "seg", "--out", "o")
    assert options["export"] == ["png", "tiff"]
    assert options["mask"] == ["m.png"]
    assert (options["checkpoint"], options["segment"]) == ("run", "seg")


def test_verbs_of_two_words():
    verbs = {"learn slowly": settings.Predict, "learn fast": settings.Resume, "predict": settings.Predict}
    parser = build_parser(verbs, {"learn": "Learn."})
    assert vars(parser.parse_args(["learn", "fast", "runs/a", "--json"])) == {
        "verb": "learn",
        "word": "fast",
        "run": "runs/a",
        "json": True,
    }
    with pytest.raises(SystemExit):
        parser.parse_args(["learn"])


def test_what_is_not_given_is_left_to_the_settings():
    assert set(parse("predict", "run", "seg.zarr", "--out", "ink.zarr")) == {"verb", "checkpoint", "segment", "out"}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_names_every_field(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*verb.split(), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    kind = cli.VERBS[verb]
    for name in kind.model_fields:
        shown = name.upper() if name in kind.positional else option(name)
        assert shown in text


def test_bounds_and_defaults_are_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["finetune", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Passes over the crops (≥ 1; default 100)" in text
    assert "N|A:B" in text


@pytest.mark.parametrize("verb", cli.VERBS)
def test_bounds_that_the_help_tells_are_kept(verb):
    kind = cli.VERBS[verb]
    for name, field in kind.model_fields.items():
        if bare(field) not in (int, float):
            continue
        for key, bound in limits(field).items():
            beyond = {"ge": bound - 1, "gt": bound, "le": bound + 1, "lt": bound}[key]
            with pytest.raises(ValidationError) as wrong:
                kind(**{name: beyond})
            assert any(problem["loc"][:1] == (name,) for problem in wrong.value.errors()), (name, beyond)


def test_defaults_that_python_takes_for_a_switch_are_told_and_bounds_once(capsys):
    told = {name: describe(field) for name, field in settings.Finetune.model_fields.items()}
    assert told["seed"].endswith("(≥ 0; default 0)")
    assert told["label_share"].endswith("(> 0; ≤ 1; default 1.0)")
    assert told["held_out_share"].endswith("(> 0; < 1; default 0.2)")
    assert told["resized_crop"].endswith("(default on)")
    assert told["freeze"].endswith("--frozen-norms")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_ends_with_an_example_that_is_understood(verb, capsys):
    kind = cli.VERBS[verb]
    with pytest.raises(SystemExit):
        cli.main([*verb.split(), "--help"])
    assert capsys.readouterr().out.endswith(f"Example:\n  {kind.example}\n")
    options = parse(*shlex.split(kind.example)[1:])
    assert " ".join(options.pop(part) for part in ("verb", "word") if part in options) == verb
    kind(**options)


def test_units_of_boxes_and_layers_are_in_the_help():
    told = {name: describe(field) for name, field in settings.Predict.model_fields.items()}
    assert told["region"].endswith("(pixels at full size, Y1 and X1 left out)")
    assert told["layers"].endswith("(counted from 0, B left out)")
    assert told["near"].endswith("(pixels at full size)")
    assert describe(settings.Index.model_fields["stage"]).endswith("(≥ 1; ≤ 5; default 3)")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["finetune", "a", "--out", "r", "--epochs", "0"], ["--epochs", "greater than or equal to 1", "'0'"]),
        (["finetune", "a", "--out", "r", "--layers", "9:3"], ["--layers", "9:3"]),
        (["predict", "r", "s", "--out", "o", "--region", "1,2"], ["--region", "Y0:Y1,X0:X1"]),
        (["finetune", "a", "--out", "r", "--input-size", "100"], ["--input-size must", "multiple of 32", "100"]),
        (["finetune", "a", "--out", "r", "--devices", "3"], ["--batch 16 must divide by --devices x --num-nodes = 3"]),
        (["predict", "r", "s", "--out", "map.png"], ["--out map.zarr --export png"]),
        (["boxes", "m", "--out", "out.txt"], ["'out.txt'"]),
        (["finetune", "a", "--out", "r", "--learning-rate", "inf"], ["--learning-rate", "finite", "inf"]),
        (["check", ""], ["PATH: expected a path"]),
        (["check", "seg", "--layers", "0"], ["--layers", "greater than or equal to 1"]),
        (
            ["pretrain", "reconstruction", "l", "--out", "r", "--cell", "64"],
            ["--cell must be less than --height", "64"],
        ),
        (["check", "ftp://host/a.zarr"], ["ftp:// cannot be read", "https and s3"]),
    ],
)
def test_bad_settings_are_said_in_words(arguments, words, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "seg", "--windw", "3"], ["volumen check: ", "--windw 3", "did you mean --window?", "check --help"]),
        (["train", "reader", "l", "--out", "r", "--epochs", "3"], ["volumen train reader: ", "--epochs 3", "--help"]),
    ],
)
def test_what_a_verb_does_not_know_is_named_with_what_is_near_it(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert "--steps" not in said


def test_the_home_folder_may_be_written_as_a_tilde():
    assert settings.Predict(checkpoint="~/run", segment="https://host/~a", out="a~").model_dump(
        include={"checkpoint", "segment", "out"}
    ) == {"checkpoint": os.path.expanduser("~/run"), "segment": "https://host/~a", "out": "a~"}


def test_json_prints_a_line_an_event_and_the_result_last(monkeypatch, capsys):
    def recipe(chosen):
        yield Started(work="check", total=1, unit="windows")
        yield Stepped(done=1, total=1)
        yield Finished(result={"findings": ["reversed"], "path": chosen.path})

    monkeypatch.setattr("volumen.cli.load_recipe", lambda _: recipe)
    assert cli.main(["check", "seg", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["started", "stepped", "finished"]
    assert lines[-1]["result"] == {"findings": ["reversed"], "path": "seg"}


def test_people_see_words_and_the_result(monkeypatch, capsys):
    def recipe(_):
        yield Started(work="check", total=2, unit="windows")
        yield Stepped(done=1, total=2, values={"loss": 0.25})
        yield Stepped(done=2, total=2)
        scores = {"auc": 0.98765, "auc_low": 0.91234, "auc_high": 0.995, "pixels": 33380.0}
        yield Finished(result={"findings": [], "scores": scores})

    monkeypatch.setattr("volumen.cli.load_recipe", lambda _: recipe)
    assert cli.main(["check", "seg"]) == 0
    streams = capsys.readouterr()
    assert streams.out.endswith("scores.auc: 0.9877 (95 %: 0.9123 to 0.995)\nscores.pixels: 33380\n")
    assert "2/2 windows" in streams.err


@pytest.mark.parametrize("verb", [*NEXT, *(verb for verb in cli.VERBS if verb.startswith("pretrain "))])
def test_what_follows_a_verb_is_a_command(verb, monkeypatch, capsys):
    def recipe(_):
        yield Finished(result={"run": "runs/my first", "path": "a b.zarr"})

    monkeypatch.setattr("volumen.cli.load_recipe", lambda _: recipe)
    example = shlex.split(cli.VERBS[verb].example)[1:]
    assert cli.main(example) == 0
    said = capsys.readouterr().err.splitlines()[-1].removeprefix("Next: ")
    options = parse(*shlex.split(said.replace("SEGMENT:Y,X", "seg:1,2"))[1:])
    assert {"runs/my first", "a b.zarr"} & {str(value) for value in [*options.values()]}
    assert cli.main([*example, "--json"]) == 0
    assert "Next:" not in capsys.readouterr().err


TEXTS = """
import sys
from pathlib import Path
from volumen import cli
from volumen.events import Finished, Started, Transcribed

def recipe(_):
    yield Started(work="read", total=5000, unit="lines")
    for number in range(5000):
        yield Transcribed(done=number + 1, total=5000, name=f"l{number}", text=" nu ν", confidence=0.123456)
    yield Finished(result={"lines": 5000})

cli.load_recipe = lambda _: recipe
sys.exit(cli.main(["check", "seg"]))
"""


def test_texts_alone_are_put_out(monkeypatch, capsys):
    def recipe(_):
        yield Started(work="read", total=2, unit="lines")
        yield Transcribed(done=1, total=2, name="a", text="two [words]", confidence=0.98765)
        yield Transcribed(done=2, total=2, name="b", text="", confidence=1.0)
        yield Finished(result={"lines": 2})

    monkeypatch.setattr("volumen.cli.load_recipe", lambda _: recipe)
    assert cli.main(["check", "seg"]) == 0
    streams = capsys.readouterr()
    assert streams.out == "a\ttwo [words]\t0.9877\nb\t\t1\n"
    assert "2/2 lines" in streams.err
    assert "lines: 2" in streams.err


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_texts_go_into_files_of_any_encoding(encoding):
    told = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
    done = subprocess.run([sys.executable, "-c", TEXTS], capture_output=True, env=told, check=True)
    lines = done.stdout.decode(encoding).splitlines()
    assert len(lines) == 5000
    assert lines[-1] == f"l4999\t nu {'ν' if encoding == 'utf-8' else chr(92) + 'u03bd'}\t0.1235"


def test_nobody_needs_to_read_to_the_end():
    work = subprocess.Popen([sys.executable, "-c", TEXTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert work.stdout.readline() == "l0\t nu ν\t0.1235\n".encode()
    work.stdout.close()
    said = work.stderr.read().decode()
    work.stderr.close()
    assert work.wait() == 141
    assert "Traceback" not in said
    assert "Error" not in said
    assert "Exception" not in said


def test_module_and_command_are_the_same():
    done = subprocess.run([sys.executable, "-m", "volumen", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


def test_words_may_be_written_together_or_given_again(capsys):
    parser = build_parser(cli.VERBS, cli.FAMILIES)
    for given in (["ctc,transformer"], ["ctc", "transformer"]):
        options = vars(parser.parse_args(["compare", "handwriting", "w", "--out", "o", *flags("--decoder", given)]))
        del options["verb"], options["word"]
        assert cli.VERBS["compare handwriting"](**options).decoder == ("ctc", "transformer")
    assert cli.main(["compare", "handwriting", "w", "--out", "o", "--decoder", "ctc,crf"]) == 2
    assert "--decoder" in capsys.readouterr().err


def flags(flag, values):
    return [word for value in values for word in (flag, value)]
