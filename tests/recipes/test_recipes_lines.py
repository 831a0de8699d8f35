"""Pretraining on lines and teaching a reader: what runs write, that they can be gone on with, and what is refused."""

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from volumen import settings
from volumen.crops.line_dataset import LineDataset
from volumen.crops.line_images import LineForm
from volumen.errors import CheckpointError, LabelError, OutputExistsError, SettingsError, SourceError
from volumen.events import Finished, Scored, Started, Stepped, Warned, result
from volumen.models.checkpoint import load_checkpoint, load_encoder, read_origin
from volumen.models.reader_checkpoint import load_reader
from volumen.models.recognizer.reader import Reader
from volumen.models.recognizer.recognizer import Recognizer
from volumen.models.weights import read_safetensors
from volumen.recipes.reading.line_corpus import LineCorpus
from volumen.recipes.reading.pretrain import pretrain_lines
from volumen.recipes.reading.readings import ReadLine, read_readings, score_texts, write_readings
from volumen.recipes.reading.seen_frames import SeenFrames
from volumen.recipes.reading.train import train_reader
from volumen.recipes.report import report
from volumen.recipes.resume import resume
from volumen.sources.lines.read_lines import read_lines
from volumen.training.devices import open_fabric
from volumen.training.run import Run

WORDS = tuple(
    "ink papyrus scroll letter dear Hooker seeds ferns orchid Kew garden rain plate index moss fern root leaf "  # noqa: SIM905
    "stem bark palm rose lily iris reed rush vine oak elm ash".split()
)
SMALL = {
    "height": 32,
    "model_width": 1 / 16,
    "batch": 6,
    "steps": 6,
    "score_steps": 3,
    "warm_up_steps": 1,
    "device": "cpu",
}
TASKS = {
    "seqclr": settings.PretrainSeqclr,
    "rotation": settings.PretrainRotation,
    "flip": settings.PretrainFlip,
    "jigsaw": settings.PretrainJigsaw,
    "sorting": settings.PretrainSorting,
    "reconstruction": settings.PretrainReconstruction,
}
GUESSED = {"rotation": 1 / 4, "flip": 1 / 4, "jigsaw": 1 / 100, "sorting": 1 / 3}
"""Share of answers that guessing gets right."""


def write_word(path: Path, text: str) -> tuple[int, int]:
    font = ImageFont.load_default(36)
    width = int(font.getlength(text)) + 16
    image = Image.new("L", (width, 64), 215)
    ImageDraw.Draw(image).text((8, 6), text, fill=40, font=font)
    image.save(path)
    return image.size


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Write a list of printed words, of six writers, parted by the list."""
    folder = tmp_path_factory.mktemp("words")
    rows = ["file\ttext\twriter\tsplit"]
    for number, text in enumerate(WORDS):
        write_word(folder / f"{number:02}.png", text)
        split = ("train", "train", "train", "train", "val", "test")[number % 6]
        rows.append(f"{number:02}.png\t{text}\thand{number % 6}\t{split}")
    (folder / "words.tsv").write_text("\n".join(rows) + "\n")
    return folder / "words.tsv"


def pretext(task, words, out, **changes):
    return TASKS[task](lines=(str(words),), out=str(out), **{**SMALL, **changes})


def reader(words, out, **changes):
    return settings.TrainReader(lines=(str(words),), out=str(out), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def flipped(words):
    out = words.parent / "flip"
    result(pretrain_lines(pretext("flip", words, out)))
    return out


@pytest.mark.parametrize("task", TASKS)
def test_every_pretext_leaves_a_recogniser_without_its_head(task, words, tmp_path):
    events = list(pretrain_lines(pretext(task, words, tmp_path / "run")))
    assert isinstance(events[0], Started)
    assert events[0].work == f"pretrain {task}"
    assert events[0].detail["lines"] == 20
    assert len([event for event in events if isinstance(event, Stepped)]) == 6
    scores = [event.scores for event in events if isinstance(event, Scored)]
    assert len(scores) == 2
    assert all(np.isfinite(each["loss"]) for each in scores)
    guessed = {"seqclr": 1 / (2 * scores[0].get("instances", 0) - 1), **GUESSED}.get(task)
    assert scores[0].get("guessing") == (guessed and pytest.approx(guessed))
    best = tmp_path / "run" / "best.safetensors"
    recognizer = Recognizer(1 / 16)
    assert set(read_safetensors(best)[0]) == set(recognizer.state_dict())
    assert load_encoder(recognizer, best).loaded_share == 1
    header = read_origin(best)
    assert header["pretext"] == task
    assert header["form"] == {"height": 32, "width": None, "widest": 8192, "stretched": True, "rows": 1.0}


def test_test_lines_are_never_seen_by_a_pretext(words, tmp_path):
    corpus = LineCorpus.of(pretext("seqclr", words, tmp_path / "run"), transcribed=False)
    seen = {line.writer for line in (*corpus.split.train, *corpus.split.val)}
    assert seen == {f"hand{number}" for number in range(5)}
    assert {line.writer for line in corpus.test} == {"hand5"}


@pytest.mark.parametrize("task", ["seqclr", "jigsaw"])
def test_a_stopped_pretraining_goes_on_to_the_same_weights(task, words, tmp_path):
    result(pretrain_lines(pretext(task, words, tmp_path / "whole")))
    events = pretrain_lines(pretext(task, words, tmp_path / "parts"))
    for _ in islice(events, 6):
        pass
    events.close()
    assert not Run.open(tmp_path / "parts").finished
    result(resume(settings.Resume(run=str(tmp_path / "parts"))))
    whole, parts = (read_safetensors(tmp_path / name / "best.safetensors")[0] for name in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": "ctc"},
        {"decoder": "bilstm_ctc", "freeze": True},
        {"decoder": "attention", "label_share": 0.5},
        {"decoder": "transformer", "freeze": True},
    ],
)
def test_a_stopped_reader_goes_on_to_the_same_weights_and_readings(changes, words, flipped, tmp_path):
    changes = {**changes, "encoder": str(flipped)}
    whole = result(train_reader(reader(words, tmp_path / "whole", **changes)))
    events = train_reader(reader(words, tmp_path / "parts", **changes))
    for event in events:
        if isinstance(event, Stepped) and event.done == 4:
            break
    events.close()
    parts = result(train_reader(reader(words, tmp_path / "parts", resume=True, **changes)))
    assert parts["test"] == whole["test"]
    one, other = (load_reader(found["checkpoint"])[0].state_dict() for found in (whole, parts))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_reader_tells_what_it_was_made_from_and_how_well_it_reads(words, flipped, tmp_path):
    changes = {"encoder": str(flipped / "best.safetensors"), "label_share": 0.5}
    told = result(train_reader(reader(words, tmp_path / "run", **changes)))
    made, header = load_reader(told["checkpoint"])
    learned = Run.open(tmp_path / "run").recipe
    assert header["pretext"] == "flip"
    assert "".join(header["alphabet"]) == learned["alphabet"]
    assert learned["learned_from"] == 10
    assert made.architecture["classes"] == len(header["alphabet"]) + 1
    lines = read_readings(Path(told["readings"]))
    assert [line.text for line in lines] == list(WORDS[5::6])
    assert {line.group for line in lines} == {"hand5"}
    assert told["test"] == pytest.approx(score_texts(lines, intervals=True))


def test_a_frozen_recogniser_keeps_its_weights_and_is_shown_each_line_once(words, flipped, tmp_path):
    encoder = flipped / "best.safetensors"
    told = result(train_reader(reader(words, tmp_path / "run", encoder=str(encoder), freeze=True)))
    before, after = read_safetensors(encoder)[0], load_reader(told["checkpoint"])[0].recognizer.state_dict()
    still = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    norms = {name for name in before if "running_" in name or name.endswith("num_batches_tracked")}
    assert still >= set(before) - norms, "only statistics of norms may be measured anew"
    assert not still & {name for name in norms if name.endswith("running_var")}
    kept = result(
        train_reader(reader(words, tmp_path / "kept", encoder=str(encoder), freeze=True, frozen_norms="kept"))
    )
    assert all(torch.equal(t, before[n]) for n, t in load_reader(kept["checkpoint"])[0].recognizer.state_dict().items())


def test_a_recogniser_that_starts_from_weights_may_learn_more_slowly_than_the_decoder(words, flipped, tmp_path):
    encoder = flipped / "best.safetensors"
    told = result(train_reader(reader(words, tmp_path / "run", encoder=str(encoder), encoder_lr_mult=1e-6)))
    before, (after, _) = read_safetensors(encoder)[0], load_reader(told["checkpoint"])
    torch.manual_seed(SMALL.get("seed", 0))
    begun = Reader(after.architecture["classes"], decoder="ctc", features="contextual", width=SMALL["model_width"])
    moved = {name: (tensor - before[name]).abs().max() for name, tensor in after.recognizer.state_dict().items()}
    assert max(shift for name, shift in moved.items() if "running_" not in name and "num_batches" not in name) < 1e-5
    decoders = zip(begun.decoder.parameters(), after.decoder.parameters(), strict=True)
    assert max(float((one - other).detach().abs().max()) for one, other in decoders) > 1e-4


def test_a_bilstm_that_no_pretraining_has_touched_is_said(words, tmp_path):
    result(pretrain_lines(pretext("flip", words, tmp_path / "pretrained", features="visual")))
    for features, said in (("contextual", True), ("visual", False)):
        events = train_reader(
            reader(words, tmp_path / features, encoder=str(tmp_path / "pretrained"), features=features)
        )
        told = [event.message for event in islice(events, 4) if isinstance(event, Warned)]
        assert any("--features visual" in message for message in told) == said


def begin(events):
    """Return what is said before the first step."""
    return [event.message for event in islice(events, 4) if isinstance(event, Warned)]


def test_where_weights_come_from_and_do_not_fit_is_said(words, flipped, tmp_path):
    told = result(train_reader(reader(words, tmp_path / "reader", steps=3)))
    said = begin(train_reader(reader(words, tmp_path / "anew", encoder=told["checkpoint"])))
    assert any("the decoder begins anew" in message for message in said)
    said = begin(pretrain_lines(pretext("flip", words, tmp_path / "other", encoder=str(flipped), height=40)))
    assert any("height 32, now 40" in message for message in said)


@pytest.mark.parametrize(("task", "told"), [("rotation", True), ("flip", False)])
def test_stretched_lines_are_told_to_rotation(words, tmp_path, task, told):
    said = begin(pretrain_lines(pretext(task, words, tmp_path / "run", line_width=100)))
    assert any("turned on its side" in message for message in said) == told


def test_a_height_that_cells_do_not_fill_is_refused_at_once():
    with pytest.raises(ValueError, match="height must be a multiple of 8"):
        settings.PretrainReconstruction(lines="words.tsv", out="run", height=36)


@pytest.mark.parametrize("limit", [2**20, 5000, 0])
def test_kept_frames_are_those_that_the_recogniser_sees(words, limit):
    torch.manual_seed(0)
    model = Reader(30, width=1 / 16).eval()
    dataset = LineDataset(read_lines(words).lines, form=LineForm(height=32))
    seen = SeenFrames(model, open_fabric(device="cpu"), limit=limit)
    for indices in ([0, 3, 5], [3, 7, 0, 1]):
        batch = dataset.batch(indices, epoch=0)
        with torch.no_grad():
            direct = model.frames(batch.images, batch.widths)
        found = seen(batch)
        assert torch.equal(found.lengths, direct.lengths)
        torch.testing.assert_close(found.values, direct.values, rtol=0, atol=1e-5)


def test_lines_longer_than_their_frames_are_named_and_teach_nothing(words, tmp_path):
    folder = tmp_path / "narrow"
    folder.mkdir()
    rows = ["file\ttext"]
    for number, text in enumerate(WORDS[:12]):
        write_word(folder / f"{number:02}.png", text)
        rows.append(f"{number:02}.png\t{text}")
    rows[4] = f"03.png\t{'x' * 60}"
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n")
    events = list(train_reader(reader(folder / "lines.tsv", tmp_path / "run", split="line", batch=4)))
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any("have more characters than frames" in text and ": 03." in text for text in warned)
    assert all(np.isfinite(event.values["loss"]) for event in events if isinstance(event, Stepped))


def test_a_broken_image_among_others_is_passed_over(words, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    rows = ["file\ttext\twidth\theight"]  # sizes given, so that the damage shows only when the image is read
    for number, text in enumerate(WORDS[:12]):
        width, height = write_word(folder / f"{number:02}.png", text)
        rows.append(f"{number:02}.png\t{text}\t{width}\t{height}")
    rows += ["gone.png\tgone\t90\t64", "empty.png\t\t90\t64", "thin.png\tthin\t2\t64"]
    Image.new("L", (90, 64), 215).save(folder / "empty.png")
    Image.new("L", (2, 64), 215).save(folder / "thin.png")
    for number in range(3):
        (folder / f"{number:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    (folder / "lines.tsv").write_text("\n".join(rows) + "\n")
    *events, finished = train_reader(reader(folder / "lines.tsv", tmp_path / "run", batch=4))
    assert np.isfinite(finished.result["scores"]["loss"])
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert sum("Left out of the lines to learn from: unreadable image: " in message for message in warned) == 1
    for reason in ("missing image: 1", "empty transcript: 1", "narrower than a frame of 4 px, at height 32: 1 (thin)"):
        assert any(reason in message for message in warned), reason
    assert [event.message for event in Run.open(tmp_path / "run").events() if isinstance(event, Warned)] == warned
    assert np.isfinite(
        result(pretrain_lines(pretext("sorting", folder / "lines.tsv", tmp_path / "sort")))["scores"]["loss"]
    )


@pytest.mark.parametrize(
    ("columns", "by", "counts"),
    [
        ("writer\tpage\tsplit", "as the list says", (20, 5, 5)),
        ("writer\tpage", "by writer", None),
        ("page", "by page", None),
        ("", "by line", (27, 3, 0)),
    ],
)
def test_what_is_held_out_follows_from_what_the_list_says(words, tmp_path, columns, by, counts):
    names = [name for name in columns.split("\t") if name]
    rows = ["\t".join(["file", "text", *names])]
    said = {"writer": "hand{}", "page": "page{}", "split": ""}
    for number, text in enumerate(WORDS):
        split = ("train", "train", "train", "train", "val", "test")[number % 6]
        values = {**{key: form.format(number % 6) for key, form in said.items()}, "split": split}
        rows.append("\t".join([str(words.parent / f"{number:02}.png"), text, *(values[name] for name in names)]))
    path = words.parent / f"{len(names)}.tsv"
    path.write_text("\n".join(rows).replace(f"{words.parent}/", "") + "\n")
    corpus = LineCorpus.of(reader(path, tmp_path / "run"), transcribed=True)
    assert corpus.by == by
    split = corpus.split
    if counts:
        assert (len(split.train), len(split.val), len(split.test)) == counts
    elif names:
        assert not {getattr(line, names[0]) for line in split.train} & {getattr(line, names[0]) for line in split.val}
    assert corpus.test == (split.test or split.val)


@pytest.mark.parametrize("by", ["auto", "writer", "line"])
def test_pretraining_learns_from_no_line_that_a_reader_is_scored_on(words, tmp_path, by):
    """Whatever it takes besides: here every third line is without text, and so are all of hand 1."""
    rows = ["file\ttext\twriter\tsplit"]
    for number, text in enumerate(WORDS):
        said = "" if number % 3 == 2 or number % 6 == 1 else text
        rows.append(f"{number:02}.png\t{said}\thand{number % 6}\t{'test' if number % 10 == 9 else ''}")
    path = words.parent / "half.tsv"
    path.write_text("\n".join(rows) + "\n")
    chosen = reader(path, tmp_path / "run", split=by)
    read, seen = (LineCorpus.of(chosen, transcribed=transcribed) for transcribed in (True, False))
    scored = {line.name for line in (*read.split.val, *read.split.test)}
    assert read.scored_on == seen.scored_on
    assert {line.split for line in read.split.test} == {"test"}
    assert not scored & {line.name for line in seen.split.train}
    assert not scored & {line.name for line in read.split.train}
    assert len(seen.split.train) > len(read.split.train)
    if by != "line":  # a writer without any text follows nobody, and may be learned from
        assert "hand1" not in {line.writer for line in seen.split.val}


def test_a_list_without_text_beside_one_with_it_teaches_no_reader(words, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        write_word(images / f"{number}.png", WORDS[number])
    chosen = settings.TrainReader(lines=(str(words), str(images)), out=str(tmp_path / "run"), **SMALL)
    corpus = LineCorpus.of(chosen, transcribed=True)
    assert all(line.text for line in (*corpus.split.train, *corpus.split.val))
    assert any("empty transcript: 4" in warning for warning in corpus.warnings)
    assert len(LineCorpus.of(chosen, transcribed=False).split.train) == len(corpus.split.train) + 4


def test_several_lists_are_one_corpus(words, tmp_path):
    more = tmp_path / "more.tsv"
    more.write_text(words.read_text())
    for image in words.parent.glob("*.png"):
        shutil.copy(image, tmp_path)
    chosen = settings.TrainReader(lines=(str(words), str(more)), out=str(tmp_path / "run"), **SMALL)
    names = [line.name for line in LineCorpus.of(chosen, transcribed=True).split.train]
    assert len(names) == 40
    assert len({*names}) == 40
    assert names[0] == "words/00"


def test_one_image_in_two_lists_is_refused(words, tmp_path):
    linked = tmp_path / "linked"
    linked.symlink_to(words.parent)
    chosen = settings.TrainReader(lines=(str(words), str(linked / "words.tsv")), out=str(tmp_path / "run"), **SMALL)
    with pytest.raises(SettingsError, match="same part of the same image"):
        LineCorpus.of(chosen, transcribed=True)


def listed(words, name, columns, rows):
    """Write a list beside the words: a row of fields each, the first the number of an image."""
    path = words.parent / name
    fields = ["\t".join([f"{row[0]:02}.png", *row[1:]]) for row in rows]
    path.write_text("\n".join(["\t".join(["file", "text", *columns]), *fields]) + "\n")
    return path


def test_lines_without_a_writer_do_not_undo_the_parting_of_the_others(words, tmp_path):
    rows = [(number, text, "" if number in (3, 9) else f"hand{number % 6}") for number, text in enumerate(WORDS)]
    corpus = LineCorpus.of(reader(listed(words, "lacking.tsv", ["writer"], rows), tmp_path / "run"), transcribed=True)
    assert corpus.by == "by writer"
    assert corpus.split.shared("writer") == ()
    assert len(corpus.split.train) + len(corpus.split.val) == len(WORDS)
    assert any("2 of 30 lines have no writer" in warning for warning in corpus.warnings)


def test_writers_on_both_sides_of_a_list_are_told(words, tmp_path):
    rows = [
        (number, text, f"hand{number % 5}", "val" if number % 5 < 2 and number > 20 else "train")
        for number, text in enumerate(WORDS)
    ]
    corpus = LineCorpus.of(
        reader(listed(words, "both.tsv", ["writer", "split"], rows), tmp_path / "run"), transcribed=True
    )
    assert any("2 writers have lines in more than one part (hand0, hand1)" in warning for warning in corpus.warnings)


def test_a_run_knows_lines_again_by_all_that_parts_them(words, tmp_path):
    def identity(hand):
        rows = [(number, text, hand if number == 7 else f"hand{number % 6}") for number, text in enumerate(WORDS)]
        chosen = reader(listed(words, "known.tsv", ["writer"], rows), tmp_path / "run")
        return LineCorpus.of(chosen, transcribed=True).identities

    assert identity("hand1") == identity("hand1") != identity("hand2")


@pytest.mark.parametrize("part", ["val", "test"])
def test_unusable_lines_of_every_part_are_told_before_the_training(words, tmp_path, part):
    Image.new("L", (2, 64), 215).save(words.parent / "90.png")
    rows = [(number, text, ("train", "val", "test")[number % 3]) for number, text in enumerate(WORDS)]
    path = listed(words, f"thin_{part}.tsv", ["split"], [*rows, (90, "thin", part)])
    *events, finished = train_reader(reader(path, tmp_path / "run"))
    warned = [event.message for event in events if isinstance(event, Warned)]
    named = {"val": "held-out lines", "test": "test lines"}[part]
    assert any(f"Left out of the {named}: narrower" in message and "(90)" in message for message in warned)
    assert len(read_readings(Path(finished.result["readings"]))) == 10
    rows = [row for row in rows if row[2] != part]
    with pytest.raises(SourceError, match="narrower"):
        next(train_reader(reader(listed(words, "only.tsv", ["split"], [*rows, (90, "thin", part)]), tmp_path / "no")))
    assert not (tmp_path / "no").exists()


def test_damaged_test_lines_are_named_and_not_scored(words, tmp_path):
    folder = tmp_path / "words"
    shutil.copytree(words.parent, folder, ignore=lambda _, names: [name for name in names if name.endswith("flip")])
    whole = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(whole[: len(whole) // 2])  # of the test lines
    *events, finished = train_reader(reader(folder / "words.tsv", tmp_path / "run"))
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any("Left out of the test lines: unreadable image: 1 (05)" in message for message in warned)
    assert "05" not in {line.name for line in read_readings(Path(finished.result["readings"]))}


def test_what_can_teach_nothing_is_refused(words, tmp_path):
    long = listed(words, "long.tsv", [], [(number, "x" * 90) for number in range(12)])
    with pytest.raises(LabelError, match=r"All .* more characters than frames.*--height"):
        next(train_reader(reader(long, tmp_path / "run")))
    with pytest.raises(LabelError, match="--line-width"):
        next(train_reader(reader(long, tmp_path / "run", line_width=100)))
    with pytest.raises(SettingsError, match="--batch 2 or more"):
        next(pretrain_lines(pretext("seqclr", words, tmp_path / "run", batch=1)))
    with pytest.raises(SettingsError, match="on each device; expected --batch 4"):
        next(pretrain_lines(pretext("seqclr", words, tmp_path / "run", batch=2, device="cpu", devices=2)))
    with pytest.raises(SourceError, match="enough written on them for sorting"):
        next(pretrain_lines(pretext("sorting", words, tmp_path / "run", gap=1000)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("decoder", "warns"), [("ctc", True), ("transformer", False)])
def test_texts_from_right_to_left_are_told_to_decoders_that_go_the_other_way(words, tmp_path, decoder, warns):
    path = listed(words, "hebrew.tsv", [], [(number, "שלום 12") for number in range(12)])
    warned = [
        event.message
        for event in train_reader(reader(path, tmp_path / "run", decoder=decoder))
        if isinstance(event, Warned)
    ]
    assert any("from right to left" in message for message in warned) == warns


def test_readings_come_back_as_they_were_written(tmp_path):
    lines = [ReadLine(name="a  b", group="g\u2028h", text="two  words", read="x\ty", confidence=0.25)]
    write_readings(tmp_path / "readings.tsv", lines)
    assert read_readings(tmp_path / "readings.tsv") == [
        ReadLine(name="a  b", group="g h", text="two words", read="x y", confidence=0.25)
    ]


def test_bad_input_is_refused_before_anything_is_written(words, flipped, tmp_path):
    out = tmp_path / "run"
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        write_word(images / f"{number}.png", WORDS[number])
    with pytest.raises(LabelError, match="needs transcripts"):
        list(train_reader(reader(images, out)))
    with pytest.raises(CheckpointError, match=r"fills only|None of"):
        list(train_reader(reader(words, out, encoder=str(flipped / "best.safetensors"), model_width=0.125)))
    (tmp_path / "notes.md").write_text("no list")
    with pytest.raises(SourceError, match="should be a TSV"):
        list(pretrain_lines(pretext("flip", tmp_path / "notes.md", out)))
    (tmp_path / "images" / "one.tsv").write_text("file\ttext\n0.png\tink\n")
    with pytest.raises(SettingsError, match="lines to learn from"):
        list(train_reader(reader(images / "one.tsv", out)))
    assert not out.exists()
    with pytest.raises(OutputExistsError):
        list(pretrain_lines(pretext("flip", words, flipped)))
    with pytest.raises(SettingsError, match="begun with other settings: every was False"):
        list(pretrain_lines(pretext("flip", words, flipped, resume=True, every=True)))


def test_a_reader_is_no_ink_model_and_an_encoder_no_reader(words, flipped, tmp_path):
    told = result(train_reader(reader(words, tmp_path / "run")))
    with pytest.raises(CheckpointError, match="volumen read"):
        load_checkpoint(told["checkpoint"])
    with pytest.raises(CheckpointError, match="holds an encoder"):
        load_reader(flipped / "best.safetensors")


def test_a_finished_run_only_says_so_again(words, flipped):
    events = list(pretrain_lines(pretext("flip", words, flipped, resume=True)))
    assert [type(event) for event in events] == [Finished]


def test_the_report_of_a_pretext_says_what_guessing_gets(flipped, tmp_path):
    result(report(settings.Report(runs=(str(flipped),), out=str(tmp_path))))
    page = (tmp_path / "report.html").read_text()
    assert "without transcripts" in page
    assert "guessing gets 0.250" in page


def test_the_report_of_a_reader_shows_lines_right_and_wrong(words, tmp_path):
    told = result(train_reader(reader(words, tmp_path / "run")))
    lines = read_readings(Path(told["readings"]))
    right = ReadLine(**{**vars(lines[0]), "read": lines[0].text})
    write_readings(Path(told["readings"]), [right, *lines[1:]])
    result(report(settings.Report(runs=(str(tmp_path / "run"),), out=str(tmp_path / "report"))))
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"1 of {len(lines)} lines were read exactly" in page
    assert "They are of one writer or page" in page
    assert page.count("data:image/png") >= len(lines)
