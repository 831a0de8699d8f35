import errno
import json
import os
import pickle

import pytest
import safetensors.torch
import torch

from volumen.errors import CheckpointError, OutOfSpaceError, SettingsError, SourceNotFoundError
from volumen.models.checkpoint import load_checkpoint, read_header, save_checkpoint
from volumen.models.unet import build_unet

HEADER = {
    "layers": [22, 42],
    "layer_count": 20,
    "reverse": True,
    "normalization": {"kind": "percentile", "low": 0.1, "high": 0.9},
    "window": 320,
    "voxel_um": 7.91,
    "threshold": None,
    "label_hash": {"20230827161847": "ab12"},
    "held_out": {"20230827161847": [[0, 320, 64, 384]]},
}


class Payload:
    """Runs when a pickle of it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_unet("resnet18", 5)


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "tu-mobilenetv3_small_100"])
def test_a_round_trip_is_exact(tmp_path, name):
    torch.manual_seed(1)
    model = build_unet(name, 20, classes=2)
    model(torch.rand(2, 20, 64, 64))  # moves the norm statistics, which are part of the model
    save_checkpoint(tmp_path / "best.safetensors", model, HEADER)
    torch.manual_seed(2)
    rebuilt, header = load_checkpoint(tmp_path / "best.safetensors")
    assert not rebuilt.training
    ours, theirs = model.state_dict(), rebuilt.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    image = torch.rand(1, 20, 64, 64)
    assert torch.equal(model.eval()(image), rebuilt(image))
    assert {key: header[key] for key in HEADER} == HEADER
    assert header["architecture"] == {"encoder_name": name, "in_channels": 20, "classes": 2}
    assert header == read_header(tmp_path / "best.safetensors")
    assert os.listdir(tmp_path) == ["best.safetensors"]


def test_memory_order_and_repetition_change_no_byte(tmp_path, model):
    save_checkpoint(tmp_path / "a", model, HEADER)
    save_checkpoint(tmp_path / "b", model.to(memory_format=torch.channels_last), HEADER)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_former_file_and_nothing_else(tmp_path, model, monkeypatch, number):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model, HEADER)
    former = path.read_bytes()

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutOfSpaceError if number == errno.ENOSPC else OSError):
        save_checkpoint(path, build_unet("resnet18", 5), HEADER)
    assert path.read_bytes() == former
    assert os.listdir(tmp_path) == ["best.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_header_that_json_cannot_hold_is_refused_before_writing(tmp_path, model, value):
    with pytest.raises(SettingsError, match="finite JSON data"):
        save_checkpoint(tmp_path / "best.safetensors", model, {"threshold": value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("load", [load_checkpoint, read_header])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_is_never_opened(tmp_path, load, form):
    path, trap = tmp_path / "best.safetensors", tmp_path / "sprung"
    content = {"weights": torch.zeros(2), "payload": Payload(trap)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path.with_suffix(".pth"), _use_new_zipfile_serialization=form == "zip")
        path.with_suffix(".pth").rename(path)
    with pytest.raises(CheckpointError, match=r"is a pickle of torch\.save") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert not trap.exists()
    # The trap does spring for a reader that is not careful.
    with path.open("rb") as file:
        pickle.load(file) if form == "pickle" else torch.load(file, weights_only=False)
    assert trap.exists()


@pytest.mark.parametrize("kept", [0, 4, 8, 9, 200, 0.5, -1])
def test_a_truncated_checkpoint_is_an_error_of_one_line(tmp_path, model, kept):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model, HEADER)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="damaged, cut short") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_weights_without_our_header_are_no_checkpoint(tmp_path, model):
    safetensors.torch.save_file(model.state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="no volumen header"):
        load_checkpoint(tmp_path / "plain.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "header .* is damaged"),
        ("[]", "should be a JSON object"),
        ('{"layers": [0, 5]}', "does not say which architecture"),
        (json.dumps({"architecture": {"encoder_name": "resnet18", "in_channels": 6}}), "do not fit the architecture"),
        (json.dumps({"architecture": {"encoder_name": "resnet19", "in_channels": 5}}), "do not fit the architecture"),
        (json.dumps({"architecture": {"encoder": "resnet18"}}), "do not fit the architecture"),
    ],
)
def test_a_header_that_does_not_describe_the_weights_is_an_error(tmp_path, model, text, message):
    safetensors.torch.save_file(model.state_dict(), tmp_path / "odd.safetensors", metadata={"volumen": text})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(tmp_path / "odd.safetensors")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceNotFoundError, match=r"no weight file .*nowhere\.safetensors"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
