"""Hostile runs, indices and checkpoints, as somebody else may hand them on: refused in our words, before they cost."""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import replace
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from volumen.errors import CheckpointError, SettingsError, SourceError, SourceNotFoundError
from volumen.events import Finished, Scored, Stepped, TileWritten, Warned, from_json, to_json
from volumen.models.checkpoint import load_checkpoint, load_encoder, read_origin
from volumen.models.reader_checkpoint import load_reader
from volumen.models.segmenters import build_segmenter
from volumen.models.weights import read_weights
from volumen.plain_json import parse
from volumen.recipes.ink_model import load_model
from volumen.recipes.reporting.run_record import RunRecord
from volumen.recipes.resume import resume
from volumen.run_folder import RunFolder
from volumen.settings import PretrainSpark, Resume
from volumen.settings.job_file import JobFile
from volumen.sources.index.window_index import WindowIndex
from volumen.tail import Tail
from volumen.training.run import Run

DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize("text", [DEEP, '{"a": "\\ud800"}', b"\xff", '{"a": ' + "9" * 5000 + "}", "{", ""])
def test_json_that_cannot_be_used(text):
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_json_of_whole_characters_is_used():
    assert parse('"\\ud83c\\udffa"') == "🏺"
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "line",
    [
        *("7", "[]", "{}", DEEP, '{"event": []}', '{"event": "unknown"}', '{"event": "warned"}'),
        '{"event": "warned", "message": 3}',
        '{"event": "warned", "message": "x", "more": 1}',
        '{"event": "stepped", "done": "1", "total": 2}',
        '{"event": "stepped", "done": 1, "total": 2, "values": {"loss": "low"}}',
        '{"event": "scored", "step": [1], "scores": {}}',
        '{"event": "scored", "step": 1, "scores": 5}',
        f'{{"event": "scored", "step": 1{"0" * 400}, "scores": {{"auc": 1}}}}',
        f'{{"event": "tile_written", "done": 1, "total": 2, "box": [0, 1, 0, {-(2**53) - 1}]}}',
        f'{{"event": "scored", "step": 1, "scores": {{"auc": 1{"0" * 400}}}}}',
        '{"event": "tile_written", "done": 1, "total": 2, "box": [1, 2]}',
        '{"event": "finished", "result": []}',
    ],
)
def test_a_line_that_is_no_event(tmp_path, line):
    with pytest.raises(ValueError, match=r".+"):
        from_json(line)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text('{"verb": "finetune", "settings": {}}')
    (run / "events.jsonl").write_text(to_json(Warned(message="dim")) + f"\n{line}\n")
    with pytest.raises(SourceError, match="Line 2 of"):
        RunRecord.read(run)
    assert [type(event) for event in Tail(run / "events.jsonl").read()] == [Warned, Warned]  # it goes on


@pytest.mark.parametrize(
    "event",
    [
        Stepped(done=1, total=2, values={"loss": float("nan"), "rate": 1}),
        Scored(step=1, scores={"auc": 0.5}, best=True),
        Scored(step=2**53, scores={}),
        TileWritten(done=1, total=2, box=(0, 1, 2, 3)),
        Finished(result={"a": [1, {"b": None}]}),
    ],
)
def test_our_own_events_are_read_again(event):
    assert to_json(from_json(to_json(event))) == to_json(event)


@pytest.mark.parametrize("text", ["[]", "7", DEEP, "{", "\udcff"])
def test_a_recipe_that_is_none(tmp_path, text):
    (tmp_path / "recipe.json").write_text(text, errors="surrogateescape")
    with pytest.raises(SourceError, match=r"recipe\.json"):
        RunFolder.open(tmp_path)
    with pytest.raises(SourceError, match=r"recipe\.json"):
        JobFile.read(tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"verb": 5},
        {"verb": "pretrain_x", "settings": {}},
        {"verb": "finetune"},
        {"verb": "finetune", "settings": [1]},
    ],
)
def test_a_recipe_that_does_not_say_what_to_do(tmp_path, recipe):
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises((SourceError, SettingsError)):
        list(resume(Resume(run=str(tmp_path))))


def test_a_run_whose_events_are_gone(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(SourceNotFoundError, match=r"events\.jsonl"):
        list(RunFolder.open(tmp_path).events())


@pytest.mark.parametrize("position", [-5, -(10**400), 10**400, 0.0, None])
def test_a_state_from_before_the_events_or_after(tmp_path, position):
    run = Run.create(tmp_path / "run", {})
    run.save_state({})
    torch.save({"events_position": position}, run.state_path)
    with pytest.raises(CheckpointError, match=r"elete .*last"):
        run.rewind()


def test_only_where_a_format_may_name_a_server_is_one_looked_for(attempt, harness):
    from guard import OutOfBounds
    from harness import join

    door = harness("run folder")
    settings = {"segments": ["http://host.invalid/x"], "out": "x", "label_share": 1}
    recipe = json.dumps({"verb": "finetune", "settings": settings, "segments": [1]}).encode()
    stranger = join((recipe, b"{"))  # the run was killed as it wrote its first event
    assert attempt(door, stranger) is None
    assert isinstance(attempt(replace(door, points_elsewhere=False), stranger), OutOfBounds)


@pytest.mark.parametrize("settings", [{"segments": 5}, {"segments": "abc"}, {"segments": [1], "ink": 7}, {"ink": "a"}])
def test_settings_of_a_run_out_of_shape(tmp_path, settings):
    (tmp_path / "recipe.json").write_text(json.dumps({"verb": "finetune", "settings": settings}))
    record = RunRecord.read(tmp_path)
    assert all(isinstance(path, str) for path in record.segments)
    assert record.labels(0)["ink"] == ()


def checkpoint(path, arguments, **more):
    model = build_segmenter("simple_segnet", in_channels=2, width=0.02)
    header = {"architecture": model.architecture | arguments, "layer_count": 2, "surface_offset": -1}
    header |= {"normalization": {"kind": "divide"}, "volumen": "0.1.0", **more}
    save_file(model.state_dict(), path, metadata={"volumen": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_channels": 10**7},
        {"width": 10**4},
        {"width": 1e308},
        {"width": float("nan")},
        {"classes": "one"},
        {"in_channels": 0.5},
        {"model": []},
        {"model": "unet", "encoder_name": "resnet18", "width": 1},
        {"nothing": 1},
    ],
)
def test_a_header_that_asks_for_another_model(tmp_path, arguments, monkeypatch):
    """It is refused by its size, before that is taken from the memory."""
    path = checkpoint(tmp_path / "m.safetensors", arguments)
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_checkpoint(path)


def test_a_model_of_another_size_is_never_built(tmp_path, monkeypatch):
    from volumen.models import checkpoint as room

    devices = []
    plain = room.build_segmenter
    monkeypatch.setattr(
        room, "build_segmenter", lambda **how: (devices.append(str(torch.get_default_device())), plain(**how))[1]
    )
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(checkpoint(tmp_path / "m.safetensors", {"in_channels": 10**6}))
    assert devices == ["meta"]


@pytest.mark.parametrize(
    "said",
    [
        {"layer_count": "two"},
        {"surface_offset": None},
        {"normalization": 5},
        {"normalization": {"kind": "divide", "outside": 3}},
        {"normalization": {"kind": "divide", "outside": ["a", "b"]}},
        {"normalization": {"kind": "divide", "low": "0"}},
        {"normalization": {"kind": "clip", "ceiling": 10**400}},
    ],
)
def test_a_header_that_does_not_say_what_the_model_sees(tmp_path, said):
    with pytest.raises(CheckpointError):
        load_model(checkpoint(tmp_path / "m.safetensors", {}, **said), device="cpu")


def test_a_header_that_nests_without_end(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"volumen": DEEP})
    assert read_origin(path) == {}
    for load in (load_checkpoint, load_reader):
        with pytest.raises(CheckpointError):
            load(path)


@pytest.mark.parametrize("shape", [[0, 2**63], [2**32, 2**32], [-1], [0.5]])
def test_a_tensor_of_a_shape_that_none_has(tmp_path, shape):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    for read in (read_weights, load_checkpoint):
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            read(path)


EMBEDDING = {"window": 16, "channels": 3, "numbers": "float32"}
JOB = {"segment": {"name": "a", "shape": [4, 64, 64]}, "source": "a.zarr", "windows": 2, "batch": 16}


def index(folder, embedding, job, corners, vectors):
    part = folder / "parts" / "0001-a-x"
    part.mkdir(parents=True)
    header = {"kind": "window_index", "version": 1, "embedding": embedding}
    (folder / "index.json").write_text(json.dumps(header))
    (part / "job.json").write_text(json.dumps({"job": job, "total": 1}))
    (part / "done").write_bytes(b"\1")
    np.save(part / "windows.npy", corners)
    np.save(part / "vectors.npy", vectors)
    return folder


CORNERS, VECTORS = np.zeros((2, 2), np.int32), np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedding": {"window": "16", "channels": 3}},
        {"embedding": {"window": 16}},
        {"embedding": EMBEDDING | {"window": 10**30}},
        {"embedding": EMBEDDING | {"channels": 4}},
        {"job": {}},
        {"job": 5},
        {"job": JOB | {"segment": "a"}},
        {"job": JOB | {"source": None}},
        {"job": JOB | {"batch": 0}},
        {"job": JOB | {"windows": 3}},
        {"corners": np.zeros(2, np.int32)},
        {"corners": np.zeros((2, 2), np.float32)},
        {"vectors": np.zeros(2, np.float32)},
        {"vectors": np.array([{}, {}])},
    ],
)
def test_an_index_out_of_shape(tmp_path, wrong):
    right = {"embedding": EMBEDDING, "job": JOB, "corners": CORNERS, "vectors": VECTORS}
    WindowIndex.open(index(tmp_path / "right", **right))
    with pytest.raises(SourceError, match="wrong"):
        WindowIndex.open(index(tmp_path / "wrong", **(right | wrong)))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"a": 1}, protocol=2)[:-1],
        b"\x80\x02}q\x00X\x01",  # ends within a length
        b"\x80\x02\x8a\xff\x01.",
        b"\x80\x02K\x01Q.",  # a tensor of which nobody knows
        b"\x80\x02(l" + b"2" * 50,
        b"PK\x03\x04" + bytes(40),
    ],
)
def test_weights_that_are_a_damaged_pickle(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        read_weights(path)


def test_weights_that_unpack_to_more_than_their_file(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1000), "b": torch.ones(1000)}, path)
    with ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(CheckpointError, match=r"weights\.pth .* compressed"):
        read_weights(path)
    with ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        again = ZipInfo("again")
        for said in ("header_offset", "CRC", "compress_size", "file_size"):
            setattr(again, said, getattr(archive.getinfo("weights/data/1"), said))
        archive.filelist.append(again)
    with pytest.raises(CheckpointError, match="lie over one another"):
        read_weights(path)


@pytest.mark.parametrize("large", [False, True])
def test_weights_with_a_second_list_of_their_parts(tmp_path, large):
    """Torch would unpack the parts of the first; Python's zipfile sees the second."""
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    with ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    seen = []  # what lies before the list, and the list
    for how in (ZIP_STORED, ZIP_DEFLATED):
        with ZipFile(path, "w", how) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        whole = path.read_bytes()[:-22]
        seen.append((whole[: archive.start_dir], whole[archive.start_dir :]))
    (_, second), (content, first) = seen
    written, about = content + first, (len(parts), len(parts), len(first))
    if large:
        end = struct.Struct("<4sQ2H2L4Q").pack
        where = len(written)
        written += end(b"PK\6\6", 44, 45, 45, 0, 0, *about, len(content)) + second
        written += end(b"PK\6\6", 44, 45, 45, 0, 0, *about, where + 56) + struct.pack("<4sLQL", b"PK\6\7", 0, where, 1)
    else:
        written += second
    path.write_bytes(written + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *about, len(content), 0))
    assert torch.load(path, weights_only=True)["a"].shape == (1000,)
    with pytest.raises(CheckpointError, match=r"not as torch\.save writes it"):
        read_weights(path)


@pytest.mark.filterwarnings("ignore")  # of torch, for kinds of tensors that it gives up or tries out
@pytest.mark.parametrize(
    ("name", "change"),
    [
        (1, torch.clone),
        (b"weight", torch.clone),
        ("weight", torch.Tensor.to_sparse),
        ("weight", lambda tensor: tensor.to("meta")),
        ("weight", lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)),
    ],
)
def test_weights_that_no_model_holds(tmp_path, name, change):
    path, model = tmp_path / "weights.pth", torch.nn.Conv2d(1, 2, 1)
    torch.save({name: change(torch.ones(2, 1, 1, 1))}, path)
    with pytest.raises(CheckpointError, match="no named tensors"):
        load_encoder(model, path)
    torch.save({name: change(torch.ones(2, 1, 1, 1)), "weight" if name != "weight" else "bias": torch.ones(2)}, path)
    assert len(read_weights(path)) == 1


def test_a_kernel_of_more_channels_than_can_be_averaged(tmp_path):
    path, model = tmp_path / "weights.pth", torch.nn.Conv2d(1, 2, 1)
    endless = torch.zeros(1).as_strided((2, 2**50, 1, 1), (0, 0, 0, 0))  # in the file one number
    torch.save({"weight": endless, "bias": torch.ones(2)}, path)
    report = load_encoder(model, path, adapt_channels=True)
    assert report.adapted == ()
    with pytest.raises(CheckpointError, match=f"see {2**50} input channels"):
        report.check(path)


def test_weights_in_a_nest_without_end(tmp_path):
    endless = {"weights": {"weight": torch.ones(2)}}
    endless["again"] = endless
    many = endless["weights"]
    for _ in range(60):
        many = {"one": many, "other": many}
    for nest in (endless, many):
        torch.save(nest, tmp_path / "weights.pth")
        assert read_weights(tmp_path / "weights.pth")["weight"].tolist() == [1, 1]


@pytest.mark.parametrize(("name", "value"), [("window", 10**400), ("window", "9" * 400), ("batch", 2**53 + 1)])
def test_settings_that_nothing_can_count_to(name, value):
    with pytest.raises(ValidationError, match=f"{name} holds a number over"):
        PretrainSpark(segments=("a.zarr",), out="run", **{name: value})
    assert PretrainSpark(segments=("a.zarr",), out="run", batch=2**53).batch == 2**53
