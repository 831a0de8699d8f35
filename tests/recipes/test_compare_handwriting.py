"""Comparison of readers: a run for every cell and seed, the same table however often it was stopped, sums that hold."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_compare import Reader as PageReader
from test_recipes_lines import SMALL, WORDS, write_word

import volumen
from volumen import cli, settings
from volumen.errors import CheckpointError, OutputExistsError, SettingsError, SourceError
from volumen.evaluation.intervals import percentile_interval
from volumen.evaluation.paired import mean_interval, paired_difference, verdict_of
from volumen.evaluation.text import TextCounts
from volumen.events import Finished, Saved, Started, Stepped
from volumen.models.checkpoint import save_encoder
from volumen.models.reader_checkpoint import load_reader
from volumen.models.recognizer.recognizer import Recognizer
from volumen.models.weights import read_safetensors
from volumen.recipes.compare_handwriting import compare_handwriting
from volumen.recipes.comparing.readers.cells import ReaderCell, cells_of
from volumen.recipes.comparing.readers.examples import choose
from volumen.recipes.comparing.readers.results import difference_rows
from volumen.recipes.comparing.readers.scoring import SCORES, ReaderScores, check_same_lines
from volumen.recipes.comparing.readers.tables import verdict_table
from volumen.training.run import Run

FEW = {**SMALL, "steps": 2, "score_steps": 1, "resamples": 40, "examples": 2}
TABLES = ("table.csv", "table.md", "curves.csv", "costs.json")


def write_words(folder):
    rows = ["file\ttext\twriter\tsplit"]
    for number, text in enumerate(WORDS):
        write_word(folder / f"{number:02}.png", text)
        split = ("train", "train", "train", "train", "val", "test")[number % 6]
        rows.append(f"{number:02}.png\t{text}\thand{number % 12}\t{split}")
    (folder / "words.tsv").write_text("\n".join(rows) + "\n")


def write_weights(path, seed, width=SMALL["model_width"]):
    torch.manual_seed(seed)
    recognizer = Recognizer(width)
    header = {"pretext": "flip", "form": {"height": 48, "width": None}}
    save_encoder(path, recognizer, recognizer.architecture, header)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write words by twelve hands, two of them to test with, and pretrained weights of two seeds."""
    folder = tmp_path_factory.mktemp("data")
    write_words(folder)
    for seed in (0, 1):
        write_weights(folder / f"pupil-{seed}.safetensors", 10 + seed)
    return folder


def chosen(data, out, **changes):
    given = {"lines": (str(data / "words.tsv"),), "pretext": (str(data / "pupil-{seed}.safetensors"),), "out": str(out)}
    return settings.CompareHandwriting(**{**FEW, **given, **changes})


@pytest.fixture(scope="module")
def compared(data):
    """Compare two decoders at two shares over two seeds: 16 runs."""
    asked = chosen(data, data / "compared", seeds=2, share="0.5,1", training="full")
    return asked, list(volumen.compare(asked))


def folders(asked):
    return {(cell, seed): cell.folder(asked.out, seed) for cell in cells_of(asked) for seed in asked.all_seeds}


def table(asked):
    with (Path(asked.out) / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def readings(folder):
    header, *rows = [line.split("\t") for line in (folder / "readings.tsv").read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_every_cell_of_every_seed_is_a_finished_run_in_its_own_folder(compared):
    asked, events = compared
    runs = {key: Run.open(folder) for key, folder in folders(asked).items()}
    assert len(runs) == 2 * 2 * 2 * 2
    assert all(run.finished for run in runs.values())
    assert (Path(asked.out) / "runs/transformer/0.5/pupil-full/seed1/best.safetensors").is_file()
    detail = {"cells": 8, "seeds": 2, "shares": [0.5, 1.0]}
    assert events[0] == Started(work="compare handwriting", total=16, unit="runs", detail=detail)
    assert sum(isinstance(event, Saved) and event.what.startswith("run ") for event in events) == 16
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert not any(run.state_path.exists() for run in runs.values())


def test_runs_differ_in_nothing_but_their_cell_and_seed(compared, data):
    asked, _ = compared
    own = {"out", "seed", "encoder", "decoder", "label_share", "freeze"}
    told = []
    for (cell, seed), folder in folders(asked).items():
        run = Run.open(folder).recipe["settings"]
        told.append({name: value for name, value in run.items() if name not in own})
        encoder = None if cell.encoder == "random" else str(data / f"pupil-{seed}.safetensors")
        expected = {"seed": seed, "decoder": cell.decoder, "label_share": cell.share, "freeze": cell.frozen}
        assert {**expected, "encoder": encoder, "out": str(folder)} == {name: run[name] for name in own}
    assert all(one == told[0] for one in told)


def test_the_table_is_what_the_readings_say(compared):
    asked, events = compared
    scores = {}
    for (cell, seed), folder in folders(asked).items():
        rows = readings(folder)
        assert [row["text"] for row in rows] == [word for number, word in enumerate(WORDS) if number % 6 == 5]
        counts = TextCounts.of(*([row[name] for row in rows] for name in ("text", "read", "group")))
        for name, score in counts.scores().items():
            key = (cell.decoder, f"{cell.share:g}", cell.name, name)
            scores.setdefault(key, {})[seed] = (score, counts.draws(draws=40)[name])
    rows = table(asked)
    assert len(rows) == (8 + 4) * len(SCORES)
    for row in rows:
        first = scores[row["decoder"], row["share"], row["cell"], row["score"]]
        values, drawn = [first[seed][0] for seed in (0, 1)], np.mean([first[seed][1] for seed in (0, 1)], axis=0)
        if row["minus"]:
            second = scores[row["decoder"], row["share"], row["minus"], row["score"]]
            estimate = paired_difference(values, [second[seed][0] for seed in (0, 1)])
            drawn = drawn - np.mean([second[seed][1] for seed in (0, 1)], axis=0)
            by_seeds = estimate.verdict(lower_is_better=row["score"] in ("cer", "cer_mean", "wer"))
            by_draws = verdict_of(
                *percentile_interval(drawn), lower_is_better=row["score"] in ("cer", "cer_mean", "wer")
            )
            assert row["verdict"] == (by_seeds if by_seeds == by_draws else "undecided")
        else:
            estimate = mean_interval(values)
        assert float(row["mean"]) == pytest.approx(estimate.mean, rel=1e-4, abs=1e-6)
        assert float(row["low_seeds"]) == pytest.approx(estimate.low, rel=1e-4, abs=1e-6)
        known = drawn[np.isfinite(drawn)]
        ends = [float(row[f"{end}_groups"]) for end in ("low", "high")]
        assert ends == pytest.approx(np.quantile(known, [0.025, 0.975]).tolist(), rel=1e-4, abs=1e-6)
    told = events[-1].result
    assert (len(told["scores"]), len(told["differences"])) == (8 * len(SCORES), 4 * len(SCORES))
    assert json.loads((Path(asked.out) / "comparison.json").read_text())["results"]["scores"] == told["scores"]


def test_each_pretraining_is_held_against_random_weights_of_its_own_kind(compared):
    asked, _ = compared
    found = {(row["decoder"], row["share"], row["cell"], row["minus"]) for row in table(asked) if row["minus"]}
    assert found == {
        (decoder, share, "pupil-full", "random-full") for decoder in ("ctc", "transformer") for share in ("0.5", "1")
    }


def test_every_two_weights_are_held_against_each_other_the_later_minus_the_earlier():
    cells = [
        ReaderCell(decoder="ctc", share=share, encoder=encoder, frozen=frozen)
        for share in (0.1, 1.0)
        for encoder in ("random", "rotation", "flip")
        for frozen in (True, False)
    ]
    values = {"random": 0.5, "rotation": 0.25, "flip": 0.125}

    def run(cell):
        score = values[cell.encoder]
        return SimpleNamespace(scores=dict.fromkeys(SCORES, score), draws=dict.fromkeys(SCORES, np.array([score])))

    rows = difference_rows({cell: (run(cell), run(cell)) for cell in cells})
    assert {(row.cell.share, row.line): row.estimate.mean for row in rows if row.score == "cer"} == {
        (share, f"{better}-{mode} − {worse}-{mode}"): values[better] - values[worse]
        for share in (0.1, 1.0)
        for mode in ("frozen", "full")
        for worse, better in (("random", "rotation"), ("random", "flip"), ("rotation", "flip"))
    }
    header, lines = verdict_table(rows)
    assert header == ["ctc, 10 % of the labels", "ctc, all labels"]
    assert len(lines) == 4
    assert all(" − random-" in name for name, _ in lines)


def test_costs_are_those_of_the_readers(compared):
    asked, _ = compared
    costs = json.loads((Path(asked.out) / "costs.json").read_text())
    for decoder in ("ctc", "transformer"):
        cell = ReaderCell(decoder=decoder, share=1.0, encoder="random", frozen=False)
        reader, _ = load_reader(cell.folder(asked.out, 0) / "best.safetensors")
        cost = costs[decoder]["cost"]
        assert cost["parameters"] == sum(parameter.numel() for parameter in reader.parameters())
        assert cost["gflop"] == 2 * cost["gmac"] > 0
        assert min(cost["seconds"], cost["peak_bytes"]) > 0


def test_the_page_stands_alone_and_shows_all(compared):
    asked, _ = compared
    page = PageReader()
    page.feed((Path(asked.out) / "report.html").read_text())
    assert page.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    for words in (
        *("What pretraining changes", "50 %, pupil-full", "transformer, 50 % of the labels", "CER, mean of lines"),
        *("GMAC an image", "Within one edit", "2 seeds say little", "Only 2 groups of lines"),
        *("pupil, seed 1 was pretrained on lines of another form: height 48, now 32.", "read right by none"),
        *("pupil, seed 0 and pupil, seed 1 did not hold out the very lines that are scored here",),
    ):
        assert words in page.text, words
    figures = {path.name for path in (Path(asked.out) / "figures").iterdir()}
    expected = {"cer-ctc.png", "read-exactly-transformer.png", "held-out-cer-ctc-all-labels.png"}
    assert expected <= figures


def test_a_finished_comparison_only_says_so_again(compared):
    asked, events = compared
    before = {path: path.stat().st_mtime_ns for path in (Path(asked.out) / "runs").rglob("*") if path.is_file()}
    tables = [(Path(asked.out) / name).read_bytes() for name in TABLES]
    again = list(compare_handwriting(asked))
    assert not any(isinstance(event, Stepped) for event in again)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(Path(asked.out) / name).read_bytes() for name in TABLES] == tables
    assert again[-1].result["scores"] == events[-1].result["scores"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 3}, r"steps was 2, now 3"),
        ({"decoder": "ctc", "seeds": 1}, r"decoder was 'ctc,transformer', now 'ctc'"),
        ({"training": "frozen"}, r"training was 'full', now 'frozen'"),
        ({"pretext": ()}, r"pretext was \[.*pupil.*\], now \[\]"),
    ],
)
def test_other_settings_are_refused_and_shown(compared, changes, words):
    asked, _ = compared
    with pytest.raises(SettingsError, match=words):
        next(compare_handwriting(settings.CompareHandwriting(**{**asked.model_dump(), **changes})))


def test_cells_may_be_added_and_those_that_are_there_stay(data, tmp_path):
    asked = chosen(data, tmp_path / "grown", decoder="ctc", share="1", training="full", pretext=(), seeds=1)
    list(compare_handwriting(asked))
    (before,) = folders(asked).values()
    written = (before / "best.safetensors").stat().st_mtime_ns
    more = {"share": "0.5,1", "training": "frozen,full", "decoder": "ctc,transformer"}
    more["pretext"] = (str(data / "pupil-{seed}.safetensors"),)
    grown = settings.CompareHandwriting(**{**asked.model_dump(), **more})
    list(compare_handwriting(grown))
    assert len(table(grown)) > len(folders(grown)) == 16
    assert set(json.loads((tmp_path / "grown/costs.json").read_text())) == {"ctc", "transformer"}
    assert before in folders(grown).values()
    assert (before / "best.safetensors").stat().st_mtime_ns == written
    assert not any(isinstance(event, Stepped) for event in compare_handwriting(grown))
    with pytest.raises(SettingsError, match="begun with other settings"):
        next(compare_handwriting(asked))


def test_what_runs_warned_of_and_how_weights_came_about_is_told(data, tmp_path):
    few = {"lines": (str(data / "words.tsv"),), "height": 32, "model_width": 1 / 16, "steps": 2, "device": "cpu"}
    for task, steps in ((settings.PretrainFlip, 2), (settings.PretrainRotation, 4)):
        made = task(**{**few, "steps": steps}, out=str(tmp_path / f"p{steps}"), batch=4)
        list(volumen.pretrain(made))
    pretext = (str(tmp_path / "p2"), str(tmp_path / "p4"))
    changes = {"height": 32, "model_width": 1 / 16, "features": "contextual", "least_loaded": 0.0}
    asked = chosen(data, tmp_path / "out", decoder="ctc", share="1", seeds=1, pretext=pretext, **changes)
    list(compare_handwriting(asked))
    record = json.loads((tmp_path / "out/comparison.json").read_text())
    assert record["encoders"]["p2"]["pretraining"].items() >= {"verb": "pretrain flip", "steps": 2, "batch": 4}.items()
    page = (tmp_path / "out/report.html").read_text()
    assert "did not see as many lines: p2 8 and p4 16" in page
    assert "held-out lines, every" in page


def test_a_comparison_of_ink_is_not_gone_on_with(compared, tmp_path):
    asked, _ = compared
    with pytest.raises(OutputExistsError, match="holds a comparison already"):
        next(compare_handwriting(asked.model_copy(update={"resume": False})))
    (tmp_path / "comparison.json").write_text('{"verb": "compare ink"}')
    with pytest.raises(SourceError, match="was not written by `volumen compare handwriting`"):
        next(compare_handwriting(asked.model_copy(update={"out": str(tmp_path)})))


def test_a_comparison_stopped_again_and_again_ends_with_the_same_table(data, tmp_path):
    small = {"decoder": "ctc", "share": "1", "seeds": 1}
    tables = []
    for name, patience in (("unbroken", None), ("stopped", 5)):
        asked, stops = chosen(data, tmp_path / name, **small), 0
        while True:
            events = compare_handwriting(asked)
            pulled = list(islice(events, patience))
            events.close()
            if isinstance(pulled[-1], Finished):
                break
            patience, stops = patience + 3, stops + 1
        assert stops >= (2 if patience else 0)
        tables.append([(Path(asked.out) / name).read_bytes() for name in ("table.csv",)])
    assert tables[0] == tables[1]
    frozen = ReaderCell(decoder="ctc", share=1.0, encoder="pupil", frozen=True).folder(asked.out, 0)
    recognizer = load_reader(frozen / "best.safetensors")[0].recognizer.state_dict()
    weights = read_safetensors(data / "pupil-0.safetensors")[0]
    learned = [name for name, value in weights.items() if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(recognizer[name], weights[name]) for name in learned)


def test_changed_data_and_weights_are_noticed_before_anything_is_trained(data, tmp_path):
    write_words(tmp_path)
    write_weights(tmp_path / "pupil-0.safetensors", 1)
    asked = chosen(tmp_path, tmp_path / "compared", seeds=1)
    next(compare_handwriting(asked))
    write_weights(tmp_path / "pupil-0.safetensors", 2)
    with pytest.raises(SourceError, match=r"the encoder file .*pupil-0\.safetensors changed"):
        next(compare_handwriting(asked))
    write_weights(tmp_path / "pupil-0.safetensors", 1)
    next(compare_handwriting(asked))
    text = (tmp_path / "words.tsv").read_text()
    (tmp_path / "words.tsv").write_text(text.replace("papyrus", "papyri"))
    with pytest.raises(SourceError, match=r"list_hash of .* changed"):
        next(compare_handwriting(asked))


def test_weights_that_do_not_fit_are_refused_before_anything_is_written(data, tmp_path, capsys):
    write_weights(tmp_path / "wide.safetensors", 0, width=1 / 8)
    asked = chosen(data, tmp_path / "out", pretext=(str(tmp_path / "wide.safetensors"),))
    with pytest.raises(CheckpointError):
        next(compare_handwriting(asked))
    with pytest.raises(volumen.errors.SourceNotFoundError):
        next(compare_handwriting(chosen(data, tmp_path / "out", seeds=3)))  # there is no pupil-2
    words = ["compare", "handwriting", str(data / "words.tsv"), "--pretext", str(data / "nothing.safetensors")]
    assert cli.main([*words, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "nothing.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_of_pretraining_stands_for_its_best_weights(data, tmp_path):
    run = Run.create(tmp_path / "flip" / "seed0", {"verb": "pretrain flip"})
    write_weights(run.best_path, 3)
    asked = chosen(data, tmp_path / "out", pretext=(str(tmp_path / "flip" / "seed{seed}"),), seeds=1)
    assert asked.pretext_names == ("flip",)
    next(compare_handwriting(asked))
    known = json.loads((tmp_path / "out" / "comparison.json").read_text())["encoders"]
    assert {name: (one["file"], one["origin"]["pretext"]) for name, one in known.items()} == {
        "flip, seed 0": (str(run.best_path), "flip")
    }


def test_readings_of_other_lines_are_no_pairs(compared, tmp_path):
    asked, _ = compared
    folder = folders(asked)[cells_of(asked)[0], 0]
    one = ReaderScores.read(folder, resamples=5)
    other = ReaderScores(record=one.record, lines=one.lines[1:], scores=one.scores, draws=one.draws)
    check_same_lines([one, one])
    with pytest.raises(SourceError, match="read other test lines"):
        check_same_lines([one, other])


def test_examples_are_right_disputed_or_wrong_and_none_twice():
    edits = np.array([[0, 0, 4, 1, 0, 2], [0, 1, 3, 1, 0, 0], [0, 1, 9, 1, 0, 0]])
    texts = ["the", "fern", "index", "Kew", "moss", "Kew"]
    assert choose(edits, texts, count=9) == {"right": [0, 4], "disputed": [1, 5], "wrong": [2, 3]}
    assert choose(edits, texts, count=1) == {"right": [0], "disputed": [1], "wrong": [2]}
    assert choose(edits, ["the", *"abc", "the", "d"], count=9)["right"] == [0], "a text is shown once"


@pytest.mark.parametrize(("rate", "frozen"), [(None, 1e-3), (5e-3, 5e-3)])
def test_what_is_frozen_may_learn_at_a_rate_of_its_own(data, tmp_path, rate, frozen):
    asked = chosen(data, tmp_path, frozen_learning_rate=rate, learning_rate=1e-3)
    rates = {(cell.frozen, cell.settings(asked, 0).learning_rate) for cell in cells_of(asked)}
    assert rates == {(True, frozen), (False, 1e-3)}


def test_settings_say_what_is_compared_and_survive_the_way_through_json():
    asked = settings.CompareHandwriting(lines=("w",), out="o", decoder="ctc", share="1,0.1", mode="paper")
    assert (asked.decoder, asked.training, asked.share) == (("ctc",), ("frozen", "full"), (0.1, 1.0))
    assert (asked.height, asked.line_width, asked.batch) == (32, 100, 32)
    assert settings.CompareHandwriting.model_validate(asked.model_dump(mode="json")) == asked
    for wrong in ({"decoder": "ctc,ctc"}, {"decoder": "crf"}, {"training": ""}, {"pretext": ("a/random.pth",)}):
        with pytest.raises(ValidationError):
            settings.CompareHandwriting(lines=("w",), out="o", **wrong)
    with pytest.raises(ValidationError, match="one after another; give devices and num_nodes 1"):
        settings.CompareHandwriting(lines=("w",), out="o", devices=2)
