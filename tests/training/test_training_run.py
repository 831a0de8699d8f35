from __future__ import annotations

import errno
import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch

from volumen.errors import CheckpointError, OutOfSpaceError, OutputExistsError, SourceError, SourceNotFoundError
from volumen.events import Finished, Stepped, Warned
from volumen.training.run import Run


def test_create_and_open_hold_the_same(tmp_path: Path) -> None:
    recipe = {"verb": "finetune", "settings": {"region": [0, 4, 0, 4]}, "name": "Βίβλος"}
    made = Run.create(tmp_path / "deep" / "run", recipe)
    assert Run.open(made.path) == made
    assert made.recipe == recipe
    assert list(made.events()) == []
    assert made.load_state() is None
    assert not made.finished
    assert sorted(path.name for path in made.path.parent.iterdir()) == ["run"]


def test_never_overwrites_unasked_nor_what_is_no_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"seed": 1})
    run.record(Warned(message="mine"))
    with pytest.raises(OutputExistsError, match="Resume it"):
        Run.create(run.path, {"seed": 2})
    assert Run.open(run.path).recipe == {"seed": 1}
    again = Run.create(run.path, {"seed": 2}, overwrite=True)
    assert again.recipe == {"seed": 2}
    assert list(again.events()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]

    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").write_text("dear")
    with pytest.raises(OutputExistsError, match="no run folder"):
        Run.create(precious, {}, overwrite=True)
    assert (precious / "chapter.tex").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", {}).recipe == {}


def test_open_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="Expected a run folder"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(SourceError, match="damaged"):
        Run.open(tmp_path)


def test_state_round_trip_and_rewind(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.record(Stepped(done=1, total=3))
    state = {"weights": {"a": torch.arange(5.0)}, "step": 1, "name": "x", "nested": [1, (2.5, None)]}
    run.save_state(state)
    run.record(Stepped(done=2, total=3))
    run.record(Finished())
    assert run.finished
    loaded = run.load_state()
    assert torch.equal(loaded["weights"].pop("a"), torch.arange(5.0))
    assert loaded == {"weights": {}, "step": 1, "name": "x", "nested": [1, (2.5, None)]}
    assert len(list(run.events())) == 3
    assert run.rewind()["step"] == 1
    assert list(run.events()) == [Stepped(done=1, total=3)]
    assert not run.finished


def test_rewind_without_a_state_begins_at_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.record(Stepped(done=1, total=3))
    assert run.rewind() is None
    assert list(run.events()) == []


def test_a_half_written_line_is_not_read_and_is_cut_off(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.record(Stepped(done=1, total=3))
    run.save_state({})
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(b'{"event": "stepped", "done": 2, "to')
    assert list(run.events()) == [Stepped(done=1, total=3)]
    run.rewind()
    run.record(Stepped(done=2, total=3))
    assert [event.done for event in run.events()] == [1, 2]


def test_a_kill_while_saving_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(tmp_path / "run", {})
    run.save_state({"step": 1})

    def killed(state: object, file: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run.save_state({"step": 2})
    assert run.load_state() == {"step": 1}


def test_a_full_disk_keeps_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(tmp_path / "run", {})
    run.save_state({"step": 1})

    def full(state: object, file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutOfSpaceError, match="disk is full"):
        run.save_state({"step": 2})
    assert run.load_state() == {"step": 1}


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty", "text", "pickle", "foreign"])
def test_a_damaged_state_says_what_to_do(tmp_path: Path, harm: str) -> None:
    run = Run.create(tmp_path / "run", {})
    run.save_state({"weights": torch.arange(4000.0), "step": 1})
    whole = run.state_path.read_bytes()
    middle = len(whole) // 2
    harmed = {
        "truncated": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "empty": b"",
        "text": b"not a state at all",
        "pickle": pickle.dumps(Path("/"), protocol=2),
        "foreign": None,
    }[harm]
    if harmed is None:
        torch.save({"step": 1}, run.state_path)
    else:
        run.state_path.write_bytes(harmed)
    for read in (run.load_state, run.rewind):
        with pytest.raises(CheckpointError, match=r"Delete .*last and resume"):
            read()


def test_a_compressed_state_is_not_unpacked(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.save_state({"weights": torch.arange(4000.0)})
    with ZipFile(run.state_path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with ZipFile(run.state_path, "w", ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    raw = bytearray(run.state_path.read_bytes())
    raw[64:80] = bytes(16)  # within what is compressed
    for written in (run.state_path.read_bytes(), raw):
        run.state_path.write_bytes(written)
        with pytest.raises(CheckpointError, match="compressed"):
            run.load_state()


def test_a_state_is_never_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'pwned')!r}, 'w')",))

    run = Run.create(tmp_path / "run", {})
    run.save_state({})
    torch.save({"events_position": 0, "evil": Evil()}, run.state_path)
    with pytest.raises(CheckpointError):
        run.load_state()
    assert not (tmp_path / "pwned").exists()


def test_shortened_events_are_noticed(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.record(Stepped(done=1, total=3))
    run.save_state({})
    (run.path / "events.jsonl").write_bytes(b"")
    with pytest.raises(CheckpointError, match="shorter"):
        run.rewind()
