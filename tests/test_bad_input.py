"""Bad input through the command line: a clear error in a line or two, exit code 2, and nothing half-written."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

import volumen
from volumen import cli, settings
from volumen.models.checkpoint import save_checkpoint
from volumen.models.unet import build_unet

SHAPE = (12, 160, 192)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(0).integers(40, 200, SHAPE, np.uint8)


def write_layers(folder, voxels):
    folder.mkdir(parents=True)
    for z, layer in enumerate(voxels):
        tifffile.imwrite(folder / f"{z:02}.tif", layer)


def write_ink(path, shape=SHAPE[1:], value=None):
    ink = np.zeros(shape, np.uint8) if value is None else np.full(shape, value, np.uint8)
    if value is None:
        ink[40:80, 20:170] = 255
    Image.fromarray(ink).save(path)


def check_fails(capsys, *arguments, words, output):
    """Run a command that must fail in words and leave nothing behind."""
    before = sorted(os.listdir())
    assert cli.main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"volumen {arguments[0]}: ")
    assert len(said.splitlines()) <= 2
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    assert output is None or sorted(os.listdir()) == before


FINETUNE = ("--layers", 8, "--window", 32, "--encoder-name", "resnet18", "--device", "cpu", "--out", "run")


def test_a_layer_is_missing(tmp_path, voxels, capsys):
    write_layers(tmp_path / "seg", voxels)
    (tmp_path / "seg" / "05.tif").unlink()
    check_fails(capsys, "convert", "seg", "seg.zarr", words=["layer 5", "seg"], output="seg.zarr")


def test_layers_differ_in_size(tmp_path, voxels, capsys):
    write_layers(tmp_path / "seg", voxels)
    tifffile.imwrite(tmp_path / "seg" / "05.tif", voxels[5, :100])
    check_fails(capsys, "convert", "seg", "seg.zarr", words=["05.tif", "100"], output="seg.zarr")


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_tiff_is_corrupt(tmp_path, voxels, capsys, damage):
    write_layers(tmp_path / "seg", voxels)
    file = tmp_path / "seg" / "05.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"no tiff at all" * 100)
    assert cli.main(["convert", "seg", "seg.zarr"]) == 2
    said = capsys.readouterr().err
    assert "05.tif" in said
    assert "Traceback" not in said
    assert not (tmp_path / "seg.zarr").exists()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_chunk_is_truncated(tmp_path, voxels, capsys, zarr_format):
    array = zarr.create_array("seg.zarr", shape=SHAPE, chunks=(12, 80, 96), dtype="u1", zarr_format=zarr_format)
    array[...] = voxels
    chunk = max((p for p in (tmp_path / "seg.zarr").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:100])
    assert cli.main(["convert", "seg.zarr", "out.zarr"]) == 2
    said = capsys.readouterr().err
    assert "seg.zarr" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.zarr").exists()


def test_the_label_belongs_to_another_volume(voxels, capsys):
    np.save("seg.npy", voxels)
    write_ink("ink.png", (800, 900))
    check_fails(
        capsys, "finetune", "seg.npy", "--ink", "ink.png", *FINETUNE, words=["800", "900", "160", "192"], output="run"
    )


@pytest.mark.parametrize(("value", "word"), [(0, "Expected ink"), (255, "Expected background")])
def test_the_label_teaches_nothing(voxels, capsys, value, word):
    np.save("seg.npy", voxels)
    write_ink("ink.png", value=value)
    check_fails(capsys, "finetune", "seg.npy", "--ink", "ink.png", *FINETUNE, words=[word, "seg"], output="run")


def test_there_is_no_label(voxels, capsys):
    np.save("seg.npy", voxels)
    check_fails(capsys, "finetune", "seg.npy", *FINETUNE, words=["ink", "--ink"], output="run")


def test_the_volume_holds_nan(voxels, capsys):
    broken = voxels.astype(np.float32) / 255
    broken[:, 50:60, 50:60] = np.nan
    np.save("seg.npy", broken)
    write_ink("ink.png")
    assert cli.main([str(part) for part in ("finetune", "seg.npy", "--ink", "ink.png", *FINETUNE)]) == 2
    assert "NaN" in capsys.readouterr().err
    save_model("model.safetensors", layers=8)
    assert cli.main(["predict", "model.safetensors", "seg.npy", "--out", "ink.zarr", "--device", "cpu"]) == 2
    assert "NaN" in capsys.readouterr().err


def test_the_segment_is_not_there(capsys):
    check_fails(capsys, "check", "nowhere", words=["nowhere"], output="run")


@pytest.mark.parametrize("verb", ["convert", "finetune", "predict", "phantom"])
def test_the_output_is_there_already(voxels, capsys, tmp_path, verb):
    np.save("seg.npy", voxels)
    write_ink("ink.png")
    save_model("model.safetensors", layers=8)
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "precious.txt").write_text("mine")
    commands = {
        "convert": ("convert", "seg.npy", "out.zarr"),
        "finetune": ("finetune", "seg.npy", "--ink", "ink.png", *FINETUNE[:-1], "out.zarr"),
        "predict": ("predict", "model.safetensors", "seg.npy", "--out", "out.zarr", "--device", "cpu"),
        "phantom": ("phantom", "out.zarr", "--size", "64,64", "--layers", 8),
    }
    check_fails(capsys, *commands[verb], words=["out.zarr", "already"], output="out.zarr")
    assert (tmp_path / "out.zarr" / "precious.txt").read_text() == "mine"


def save_model(path, layers):
    model = build_unet("resnet18", layers)
    header = {
        "layer_count": layers,
        "surface_offset": -(layers // 2),
        "normalization": {"kind": "divide", "low": 0.0, "high": 1.0, "ceiling": 1.0},
    }
    save_checkpoint(path, model, header)


def test_the_checkpoint_is_for_another_layer_count(voxels, capsys):
    np.save("seg.npy", voxels)
    save_model("model.safetensors", layers=20)
    predict = ("predict", "model.safetensors", "seg.npy", "--out", "ink.zarr", "--device", "cpu")
    check_fails(capsys, *predict, words=["20 layers", "12"], output="ink.zarr")
    check_fails(capsys, *predict, "--layers", "2:10", words=["20 layers", "2:10"], output="ink.zarr")


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_a_pickle_poses_as_a_checkpoint(voxels, capsys, tmp_path, name):
    np.save("seg.npy", voxels)
    write_ink("ink.png")
    (tmp_path / name).write_bytes(pickle.dumps(Payload()))
    check_fails(
        capsys, "predict", name, "seg.npy", "--out", "ink.zarr", "--device", "cpu", words=[name], output="ink.zarr"
    )
    finetune = ("finetune", "seg.npy", "--ink", "ink.png", *FINETUNE, "--encoder", name)
    check_fails(capsys, *finetune, words=[name], output="run")
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a full disk needs the right to mount a small one")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk the Linux way")
@pytest.mark.parametrize("verb", ["convert", "finetune", "predict"])
def test_the_disk_is_full(voxels, capsys, small_disk, verb):
    big = np.random.default_rng(0).integers(1, 255, (12, 512, 512), np.uint8)
    np.save("seg.npy", big)
    write_ink("ink.png", (512, 512))
    save_model("model.safetensors", layers=8)
    out = small_disk / "out"
    commands = {
        "convert": ("convert", "seg.npy", f"{out}.zarr"),
        "finetune": ("finetune", "seg.npy", "--ink", "ink.png", *FINETUNE[:-1], out, "--epochs", 1, "--batch", 64),
        "predict": ("predict", "model.safetensors", "seg.npy", "--out", f"{out}.zarr", "--device", "cpu"),
    }
    if verb == "predict":
        (small_disk / "ballast").write_bytes(bytes(900_000))
    assert cli.main([str(part) for part in commands[verb]]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "full" in said or "space" in said.lower(), said
    if verb == "convert":
        assert not (small_disk / "out.zarr").exists()


def test_verbs_in_python_raise_built_in_errors(voxels):
    np.save("seg.npy", voxels)
    with pytest.raises(FileNotFoundError):
        volumen.open_segment("nowhere")
    with pytest.raises(ValueError, match="ink"):
        volumen.result(volumen.finetune(settings.Finetune(segments=("seg.npy",), out="run", layers=8, window=32)))


def test_json_output_stays_json_when_it_fails(capsys):
    assert cli.main(["check", "nowhere", "--json"]) == 2
    assert all(json.loads(line) for line in capsys.readouterr().out.splitlines())
