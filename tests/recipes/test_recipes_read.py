"""Reading with a checkpoint: every line that can be read, in order, alike in any batch; what cannot is named."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import volumen
from volumen import settings
from volumen.crops.alphabet import Alphabet, normalized
from volumen.crops.line_images import LineForm
from volumen.errors import CheckpointError, OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.evaluation.text import TextCounts
from volumen.events import Finished, Started, Transcribed, Warned
from volumen.models.checkpoint import save_checkpoint, save_encoder
from volumen.models.reader_checkpoint import load_reader, save_reader
from volumen.models.recognizer.reader import Reader
from volumen.models.recognizer.recognizer import Recognizer
from volumen.models.unet import build_unet
from volumen.recipes.reading.read import read
from volumen.recipes.reading.readings import read_readings
from volumen.recipes.rerun import rerun
from volumen.settings.job_file import JobFile

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.events import Event

LETTERS = Alphabet(tuple(" abcdeé"))
FORM = {"height": 32, "width": None, "widest": 8192, "stretched": True}


def write_reader(path: Path, decoder: Any = "ctc", alphabet: Alphabet = LETTERS, form: Any = FORM) -> str:
    """Write a reader that never learned: what it says is nonsense, but not the same for every image."""
    torch.manual_seed(1)
    reader = Reader(alphabet.classes, decoder=decoder, width=1 / 16)
    with torch.no_grad():
        for _ in range(20):  # its norms measure images, and its weights are made to mind them
            reader.frames(torch.rand(8, 1, 32, 8).repeat_interleave(8, dim=-1), torch.full((8,), 64))
        for name, weight in reader.named_parameters():
            if weight.ndim > 1 and "resnet" not in name:
                weight.mul_(5)
    save_reader(path, reader, {"alphabet": alphabet.to_json(), "form": form})
    return str(path)


def write_image(path: Path, shape: tuple[int, int], seed: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(60, 190, (shape[0], -(-shape[1] // 8)), np.uint8)
    Image.fromarray(np.repeat(small, 8, axis=1)[:, : shape[1]]).save(path)
    return str(path)


def done(events: list[Event]) -> Any:
    assert isinstance(events[-1], Finished)
    return events[-1].result


def texts(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.text) for event in events if isinstance(event, Transcribed)]


@pytest.fixture
def reader(tmp_path: Path) -> str:
    return write_reader(tmp_path / "reader.safetensors")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A list of 12 words of 3 writers; the last two have no transcript."""
    rows = ["file\ttext\twriter"]
    for index in range(12):
        write_image(tmp_path / "words" / f"{index}.png", (32, 40 + 7 * (index % 5)), index)
        rows.append(f"{index}.png\t{'abc de'[: index % 6 + 1] if index < 10 else ''}\thand {index % 3}")
    (tmp_path / "words" / "words.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path / "words" / "words.tsv"


@pytest.mark.parametrize("decoder", ["ctc", "bilstm_ctc", "attention", "transformer"])
def test_a_line_reads_as_it_does_alone_whatever_the_batch(tmp_path: Path, words: Path, decoder: str) -> None:
    file = write_reader(tmp_path / "reader.safetensors", decoder)
    chosen = settings.Read(checkpoint=file, images=(str(words),), batch=5, device="cpu")
    events = list(read(chosen))
    model, _ = load_reader(file)
    form = LineForm(**FORM)
    readings = [event for event in events if isinstance(event, Transcribed)]
    assert [reading.name for reading in readings] == [str(index) for index in range(12)]
    assert [(reading.done, reading.total) for reading in readings] == [(index + 1, 12) for index in range(12)]
    assert len({reading.text for reading in readings}) > 2
    for reading in readings:
        image = form(np.asarray(Image.open(words.parent / f"{reading.name}.png")))
        (alone,) = model.read(image[None], torch.tensor([image.shape[-1]]))
        assert reading.text == normalized(LETTERS.decode(alone.indices))
        assert reading.confidence == pytest.approx(alone.confidence, rel=0.05)
    assert (done(events)["lines"], done(events)["left_out"], done(events)["out"]) == (12, 0, None)


def test_scores_are_those_of_the_texts_with_transcripts(reader: str, words: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "read.tsv"
    events = list(volumen.read(settings.Read(checkpoint=reader, images=(str(words),), out=str(out), device="cpu")))
    rows = read_readings(out)
    assert [(row.name, row.read) for row in rows] == texts(events)
    assert [row.group for row in rows] == [f"hand {index % 3}" for index in range(12)]
    known = [row for row in rows if row.text]
    counts = TextCounts.of([row.text for row in known], [row.read for row in known], [r.group for r in known])
    result = done(events)
    assert result["scored"] == len(known) == 10
    assert {name: result["scores"][name] for name in counts.scores()} == counts.scores()
    assert (result["scores"]["cer_low"], result["scores"]["cer_high"]) == counts.intervals()["cer"]
    assert result["unknown_characters"] == 0
    assert not [event for event in events if isinstance(event, Warned)]
    assert [path.name for path in out.parent.iterdir()] == ["read.tsv"]


def test_beams_weigh_texts_and_are_for_ctc_alone(tmp_path: Path, words: Path) -> None:
    file = write_reader(tmp_path / "reader.safetensors")
    greedy, beams = (
        list(read(settings.Read(checkpoint=file, images=(str(words),), beams=count, device="cpu"))) for count in (1, 8)
    )
    pairs = [
        (one.confidence, other.confidence)
        for one, other in zip(greedy, beams, strict=True)
        if isinstance(one, Transcribed) and isinstance(other, Transcribed)
    ]
    assert sum(other for _, other in pairs) > sum(one for one, _ in pairs)
    written = write_reader(tmp_path / "writer.safetensors", "attention")
    with pytest.raises(SettingsError, match=r"one of attention. Leave --beams out"):
        list(read(settings.Read(checkpoint=written, images=(str(words),), beams=2, device="cpu")))


def test_a_run_folder_stands_for_its_best_reader(tmp_path: Path, words: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    chosen = settings.Read(checkpoint=str(run), images=(str(words),), device="cpu")
    with pytest.raises(SourceNotFoundError, match=r"holds no best\.safetensors"):
        list(read(chosen))
    file = write_reader(run / "best.safetensors")
    assert texts(list(read(chosen))) == texts(list(read(chosen.model_copy(update={"checkpoint": file}))))


def test_other_files_are_no_readers(tmp_path: Path, words: Path) -> None:
    encoder, ink = tmp_path / "encoder.safetensors", tmp_path / "ink.safetensors"
    recognizer = Recognizer(1 / 16)
    save_encoder(encoder, recognizer, recognizer.architecture, {"pretext": "seqclr"})
    save_checkpoint(ink, build_unet("resnet18", 3), {})
    (tmp_path / "damaged.safetensors").write_bytes(ink.read_bytes()[:1000])
    odd = write_reader(tmp_path / "odd.safetensors", form={"height": "tall", "width": None})
    for file, kind, words_said in (
        (tmp_path / "none.safetensors", SourceNotFoundError, "none.safetensors"),
        (encoder, CheckpointError, "holds an encoder.*train reader"),
        (ink, CheckpointError, "holds an ink model"),
        (tmp_path / "damaged.safetensors", CheckpointError, "damaged"),
        (odd, CheckpointError, "which form"),
    ):
        with pytest.raises(kind, match=words_said):
            list(read(settings.Read(checkpoint=str(file), images=(str(words),), device="cpu")))


def test_images_that_cannot_be_read_are_named_and_counted(tmp_path: Path, reader: str) -> None:
    folder = tmp_path / "scans"
    for index in range(20):
        write_image(folder / f"{index:02}.png", (32, 64), index)
    whole = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(whole[:60])  # its header is whole
    (folder / "08.png").write_bytes(b"no image")
    write_image(folder / "09.png", (320, 8))
    events = list(read(settings.Read(checkpoint=reader, images=(str(folder),), batch=4, device="cpu")))
    assert [name for name, _ in texts(events)] == [f"{i:02}" for i in range(20) if i not in (7, 8, 9)]
    assert (done(events)["lines"], done(events)["left_out"]) == (17, 3)
    assert done(events)["scores"] == {}
    said = " ".join(event.message for event in events if isinstance(event, Warned))
    assert "unreadable image: 1 (08)" in said
    assert "unreadable image: 1 (07)" in said
    assert "narrower than a frame of 4 px, at height 32: 1 (09)" in said
    started = next(event for event in events if isinstance(event, Started))
    last = [event for event in events if isinstance(event, Transcribed)][-1]
    assert last.done == last.total == started.total == 18


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path, reader: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.md").write_text("no image")
    whole = write_image(tmp_path / "broken" / "0.png", (32, 64))
    (tmp_path / "broken" / "0.png").write_bytes((tmp_path / "broken" / "0.png").read_bytes()[:60])
    for given, kind, said in (
        (tmp_path / "none", SourceNotFoundError, "no files"),
        (tmp_path / "texts", SourceError, "lines of text"),
        (whole, SourceError, "unreadable image: 1"),
    ):
        out = tmp_path / "read.tsv"
        with pytest.raises(kind, match=said):
            list(read(settings.Read(checkpoint=reader, images=(str(given),), out=str(out), device="cpu")))
        assert not out.exists()


def test_characters_that_the_reader_does_not_know_are_counted(tmp_path: Path, words: Path) -> None:
    file = write_reader(tmp_path / "reader.safetensors", alphabet=Alphabet(tuple("abxyz")))
    events = list(read(settings.Read(checkpoint=file, images=(str(words),), device="cpu")))
    (said,) = (event.message for event in events if isinstance(event, Warned))
    table = [line.split("\t")[1] for line in words.read_text().splitlines()[1:]]
    counts = {letter: sum(" ".join(text.split()).count(letter) for text in table) for letter in "c de"}
    assert all(f"{letter} {count}" in said for letter, count in counts.items() if letter != " ")
    assert f"space {counts[' ']}" in said
    assert "none of the 5 that the reader knows" in said
    assert done(events)["unknown_characters"] == sum(counts.values())


def test_images_given_one_by_one_are_named_after_their_files(tmp_path: Path, reader: str) -> None:
    files = [write_image(tmp_path / name, (32, 50), index) for index, name in enumerate(("b.png", "a.png"))]
    chosen = settings.Read(checkpoint=reader, images=tuple(files), device="cpu")
    assert [name for name, _ in texts(list(read(chosen)))] == ["b", "a"]
    other = write_image(tmp_path / "more" / "a.png", (32, 50))
    chosen = settings.Read(checkpoint=reader, images=(*files, other), device="cpu")
    assert [name for name, _ in texts(list(read(chosen)))] == [*files, other]
    with pytest.raises(SettingsError, match=r"b\.png is there 2 times"):
        list(read(settings.Read(checkpoint=reader, images=(files[0], files[0]), device="cpu")))


def test_what_is_there_is_replaced_only_when_asked_and_never_by_half(
    reader: str, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "read.tsv"
    out.write_text("mine")
    chosen = settings.Read(checkpoint=reader, images=(str(words),), out=str(out), device="cpu")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        list(read(chosen))
    again = chosen.model_copy(update={"overwrite": True})
    stopped = read(again)
    next(event for event in stopped if isinstance(event, Transcribed))
    stopped.close()  # type: ignore[attr-defined]
    assert out.read_text() == "mine"
    part = tmp_path / "read.part.tsv"
    assert [row.name for row in read_readings(part)] == ["0"]
    list(read(again))
    assert len(out.read_text().splitlines()) == 13
    assert not part.exists()
    monkeypatch.chdir(words.parent)
    (tmp_path / "folder.tsv").mkdir()
    for place in (str(words), "words.tsv", str(tmp_path / "folder.tsv")):
        with pytest.raises(SettingsError, match="a folder or an input"):
            list(read(again.model_copy(update={"out": place})))
    for place in (reader, str(words.parent / "0.png"), str(tmp_path)):
        with pytest.raises(SettingsError, match=r"Expected a TSV .* got"):
            list(read(again.model_copy(update={"out": place})))
    with pytest.raises(SettingsError, match="cannot be made"):
        list(read(again.model_copy(update={"out": str(out / "below" / "it.tsv")})))
    assert words.read_text().startswith("file\ttext")


def test_a_run_keeps_its_own_tables(tmp_path: Path, words: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    (run / "readings.tsv").write_text("of the training")
    file = write_reader(run / "best.safetensors")
    for checkpoint in (str(run), file):
        chosen = settings.Read(
            checkpoint=checkpoint, images=(str(words),), out=str(run / "readings.tsv"), overwrite=True, device="cpu"
        )
        with pytest.raises(SettingsError, match="outside"):
            list(read(chosen))
    assert (run / "readings.tsv").read_text() == "of the training"


def test_a_broken_image_among_several_is_named_and_the_rest_are_read(tmp_path: Path, reader: str) -> None:
    files = [write_image(tmp_path / "scans" / f"{index}.png", (32, 50), index) for index in range(3)]
    (tmp_path / "scans" / "1.png").write_bytes(b"no image")
    files.append(str(tmp_path / "none.png"))
    events = list(read(settings.Read(checkpoint=reader, images=tuple(files), device="cpu")))
    assert [name for name, _ in texts(events)] == ["0", "2"]
    (said,) = (event.message for event in events if isinstance(event, Warned))
    assert f"2 ({files[1]}, {files[3]})" in said
    assert "unreadable image" in said
    assert (done(events)["lines"], done(events)["left_out"]) == (2, 2)
    with pytest.raises(SourceError, match="missing image"):
        list(read(settings.Read(checkpoint=reader, images=(files[3],), device="cpu")))


@pytest.mark.parametrize("decoder", ["ctc", "attention", "transformer"])
def test_a_reader_of_no_numbers_says_so(tmp_path: Path, words: Path, decoder: str) -> None:
    file = write_reader(tmp_path / "reader.safetensors", decoder)
    broken, _ = load_reader(file)
    with torch.no_grad():
        next(broken.decoder.parameters()).fill_(float("nan"))
    save_reader(file, broken, {"alphabet": LETTERS.to_json(), "form": FORM})
    out = tmp_path / "read.tsv"
    with pytest.raises(CheckpointError, match=r"no number.*--precision 32"):
        list(read(settings.Read(checkpoint=file, images=(str(words),), out=str(out), device="cpu")))
    assert not out.exists()


def test_a_job_file_reads_again(reader: str, words: Path, tmp_path: Path) -> None:
    out = tmp_path / "read.tsv"
    chosen = settings.Read(checkpoint=reader, images=(str(words),), out=str(out), device="cpu")
    list(read(chosen))
    first = out.read_bytes()
    out.unlink()
    JobFile("read", chosen).write(tmp_path)
    events = list(rerun(settings.Rerun(job=str(tmp_path / "job.json"))))
    assert done(events)["lines"] == 12
    assert out.read_bytes() == first


@pytest.mark.parametrize("precision", ["bf16", "16"])
@pytest.mark.parametrize("decoder", ["ctc", "bilstm_ctc", "attention", "transformer"])
def test_narrower_numbers_read_much_the_same(tmp_path: Path, words: Path, decoder: str, precision: Any) -> None:
    file = write_reader(tmp_path / "reader.safetensors", decoder)
    chosen = settings.Read(checkpoint=file, images=(str(words),), device="cpu")
    full, narrow = (
        [event.confidence for event in read(each) if isinstance(event, Transcribed)]
        for each in (chosen, chosen.model_copy(update={"precision": precision}))
    )
    assert full != narrow
    assert all(0 <= confidence <= 1 for confidence in narrow)


def test_the_command_puts_out_a_line_an_image(reader: str, words: Path) -> None:
    arguments = ["read", reader, str(words), str(words.parent / "3.png"), "--device", "cpu"]
    told = subprocess.run([sys.executable, "-m", "volumen", *arguments], capture_output=True, check=True)
    rows = [line.split("\t") for line in told.stdout.decode().splitlines()]
    chosen = settings.Read(checkpoint=reader, images=(str(words), str(words.parent / "3.png")), device="cpu")
    assert [(name, text) for name, text, _ in rows] == texts(list(read(chosen)))
    assert rows[-1][0] == "3"
    assert "read: 13 lines on cpu" in told.stderr.decode()
    assert "scores.cer: " in told.stderr.decode()


def test_names_that_would_break_a_line_are_put_out_in_one(reader: str, tmp_path: Path) -> None:
    write_image(tmp_path / "scans" / "a\tb\n\x1b[2Jc.png", (32, 50))
    arguments = ["read", reader, str(tmp_path / "scans"), "--device", "cpu"]
    told = subprocess.run([sys.executable, "-m", "volumen", *arguments], capture_output=True, check=True)
    (row,) = told.stdout.decode().splitlines()
    assert row.split("\t")[0] == "a b  [2Jc"
