"""From labelled segments to an ink map: what the recipes write, refuse and repeat."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch

from volumen import settings
from volumen.errors import CheckpointError, OutputExistsError, SettingsError, SourceError
from volumen.events import Finished, Scored, Stepped, Warned, result
from volumen.models.checkpoint import load_checkpoint, save_checkpoint
from volumen.models.unet import build_unet
from volumen.recipes.corpus import Corpus
from volumen.recipes.finetune import finetune
from volumen.recipes.infer import predict
from volumen.recipes.ink_model import load_model
from volumen.recipes.lessons import Lessons
from volumen.recipes.resume import resume
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import open_map
from volumen.training.run import Run
from volumen.windows import Window

SHAPE = (24, 256, 320)
HELD_OUT = (0, 256, 224, 320)
SMALL = {
    "layers": 8,
    "window": 64,
    "encoder_name": "resnet18",
    "epochs": 2,
    "batch": 8,
    "learning_rate": 1e-3,
    "views": "flips",
    "held_out_region": HELD_OUT,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write a segment whose ink is bright in the layers around the surface."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    ink = np.zeros(SHAPE[1:], np.uint8)
    for y in range(16, 240, 48):
        ink[y : y + 16, 10:310] = 255
    voxels = rng.integers(60, 120, SHAPE, np.uint8)
    voxels[10:14] += (ink > 0).astype(np.uint8) * 60
    np.save(folder / "seg.npy", voxels)
    np.save(folder / "seg_inklabels.npy", ink)
    return folder


def chosen(data, out, **changes):
    label = str(data / "seg_inklabels.npy")
    return settings.Finetune(segments=(str(data / "seg.npy"),), ink=(label,), out=str(out), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def run(data):
    result(finetune(chosen(data, data / "run")))
    return data / "run"


def prediction(data, run, out, **changes):
    fields = {"tile": 96, "overlap": 32, "device": "cpu", **changes}
    return settings.Predict(checkpoint=str(run), segment=str(data / "seg.npy"), out=str(out), **fields)


def test_a_run_learns_and_says_how(run):
    *_, last = Run.open(run).events()
    assert isinstance(last, Finished)
    assert last.result["epochs"] == 2
    assert last.result["scores"]["auc"] > 0.95
    scored = [event for event in Run.open(run).events() if isinstance(event, Scored)]
    assert [event.step for event in scored] == [1, 2]


def test_layers_that_are_decoded_whole_are_warned_of_before_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr("volumen.recipes.volume_survey._SLOW_VOXELS", 100_000)
    voxels = np.load(data / "seg.npy")
    for form in ({"compression": "lzw", "rowsperstrip": SHAPE[1]}, {}):
        folder = tmp_path / f"seg{len(form)}"
        folder.mkdir()
        for index, layer in enumerate(voxels):
            tifffile.imwrite(folder / f"{index:02}.tif", layer, **form)
        labels = chosen(data, tmp_path / "run").model_copy(update={"segments": (str(folder),)})
        pretraining = settings.PretrainSpark(
            segments=(str(folder),), layers=8, window=64, input_size=64, out=str(tmp_path / "spark")
        )
        for told in (Lessons.of(labels).warnings, Corpus.of(pretraining).warnings):
            assert [("20 times" in text, "volumen convert" in text) for text in told] == [(True, True)] * bool(form)


def test_the_recipe_says_all_that_is_needed(run, data):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["verb"] == "finetune"
    assert settings.Finetune.model_validate(recipe["settings"]) == chosen(data, run)
    assert recipe["segments"][0]["shape"] == list(SHAPE)
    assert recipe["segments"][0]["ink_hash"]
    assert recipe["held_out"] == {"seg": [list(HELD_OUT)]}


def test_the_checkpoint_rebuilds_the_model_alone(run):
    network, header = load_checkpoint(run / "best.safetensors")
    assert network.in_channels == 8
    assert header["layers"] == [8, 16]
    assert header["held_out"] == {"seg": [list(HELD_OUT)]}
    assert 0 < header["threshold"] < 1
    model = load_model(run, device="cpu")
    assert model.layers(24) == (8, 16)
    assert model.layers(65) == (28, 36)
    with pytest.raises(CheckpointError, match="sees 8 layers"):
        model.layers(6)


def test_the_map_is_what_the_model_says(data, run, tmp_path):
    result(predict(prediction(data, run, tmp_path / "ink.zarr", tile=320, overlap=0)))
    ink_map = open_map(tmp_path / "ink.zarr")
    model, segment = load_model(run, device="cpu"), open_segment(data / "seg.npy")
    expected = model(segment.read(segment.window.layers(8, 16))[None])[0]
    found = ink_map.read(ink_map.window)
    assert np.abs(found / 255 - expected).max() <= 0.5 / 255 + 1e-5


def test_a_region_comes_out_as_in_the_whole_map(data, run, tmp_path):
    tiles = {"tiling": "halo", "tile": 320, "overlap": 128}
    result(predict(prediction(data, run, tmp_path / "all.zarr", **tiles)))
    region = (64, 128, 96, 160)
    result(predict(prediction(data, run, tmp_path / "part.zarr", **tiles, region=region)))
    window = Window((0, 1), region[:2], region[2:])
    whole, part = open_map(tmp_path / "all.zarr"), open_map(tmp_path / "part.zarr")
    # what lies beyond the margin still reaches a network of five halvings, faintly; a shifted grid would not be faint
    difference = np.abs(whole.read(window).astype(int) - part.read(window))
    assert difference.mean() < 1
    assert difference.max() <= 8
    outside = part.read(part.window)
    outside[window.yx] = 0
    assert not outside.any()


def test_both_directions_average_forward_and_reverse(data, run, tmp_path):
    maps = {}
    for direction in ("forward", "reverse", "both"):
        out = tmp_path / f"{direction}.zarr"
        result(predict(prediction(data, run, out, direction=direction, layers=(8, 16))))
        ink_map = open_map(out)
        maps[direction] = ink_map.read(ink_map.window).astype(float)
    assert np.abs(maps["both"] - (maps["forward"] + maps["reverse"]) / 2).max() <= 1
    assert not np.array_equal(maps["forward"], maps["reverse"])


def test_a_segment_read_the_other_way_round_is_noticed(data, run, tmp_path):
    events = list(predict(prediction(data, run, tmp_path / "ink.zarr", reverse=True)))
    assert any(isinstance(event, Warned) and "other way round" in event.message for event in events)


def test_small_crops_are_noticed_in_training_and_before_large_tiles(data, run, tmp_path):
    (told,) = (event.message for event in Run.open(run).events() if isinstance(event, Warned))
    assert told.startswith("Crops of 32 px")
    for tile, noticed in ((96, True), (64, False)):
        settings = prediction(data, run, tmp_path / f"{tile}.zarr", tile=tile)
        said = [event.message for event in predict(settings) if isinstance(event, Warned)]
        assert [text.startswith("The model learned from crops of 32 px") for text in said] == [True] * noticed


def test_provenance_and_exports_say_what_made_them(data, run, tmp_path):
    done = result(predict(prediction(data, run, tmp_path / "ink.zarr", export=("png", "tiff"))))
    attributes = open_map(tmp_path / "ink.zarr").attributes
    assert attributes["finished"] is True
    assert attributes["provenance"]["held_out"] == {"seg": [list(HELD_OUT)]}
    for export in done["exports"]:
        sidecar = json.loads((tmp_path / f"{export}.json").read_text())
        assert sidecar["settings"]["checkpoint"] == attributes["settings"]["checkpoint"]


def test_an_export_that_is_there_is_said_before_the_work(data, run, tmp_path):
    (tmp_path / "ink.png").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"ink\.png"):
        next(predict(prediction(data, run, tmp_path / "ink.zarr", export=("png",))))
    assert not (tmp_path / "ink.zarr").exists()


def test_a_finished_map_is_kept_or_resumed_or_replaced_as_asked(data, run, tmp_path):
    out = tmp_path / "ink.zarr"
    result(predict(prediction(data, run, out)))
    with pytest.raises(OutputExistsError):
        result(predict(prediction(data, run, out)))
    with pytest.raises(SettingsError, match="tile"):
        result(predict(prediction(data, run, out, tile=128, resume=True)))
    assert not any(isinstance(event, Stepped) for event in predict(prediction(data, run, out, resume=True)))
    result(predict(prediction(data, run, out, tile=128, overwrite=True)))


def test_resuming_a_finished_run_changes_nothing(data, run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result(resume(settings.Resume(run=str(run))))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_goes_on_only_with_the_data_that_it_began_with(data, tmp_path):
    copy = tmp_path / "data"
    copy.mkdir()
    for name in ("seg.npy", "seg_inklabels.npy"):
        (copy / name).write_bytes((data / name).read_bytes())
    events = finetune(chosen(copy, tmp_path / "run"))
    while not isinstance(next(events), Stepped):
        pass
    events.close()
    ink = np.load(copy / "seg_inklabels.npy")
    ink[:8] = 255
    np.save(copy / "seg_inklabels.npy", ink)
    with pytest.raises(SourceError, match="ink_hash changed"):
        result(resume(settings.Resume(run=str(tmp_path / "run"))))


def test_going_on_is_refused_with_other_settings_and_says_which(data, tmp_path):
    out = tmp_path / "run"
    for event in finetune(chosen(data, out)):
        if isinstance(event, Stepped):
            break
    before = (out / "recipe.json").read_bytes()
    with pytest.raises(SettingsError, match=r"seed was 0, now 1; epochs was 2, now 5"):
        list(finetune(chosen(data, out, resume=True, epochs=5, seed=1)))
    assert (out / "recipe.json").read_bytes() == before
    with pytest.raises(OutputExistsError):
        list(finetune(chosen(data, out)))
    assert result(finetune(chosen(data, out, resume=True)))["epochs"] == 2


def test_resume_begins_a_run_where_there_is_none(data, tmp_path):
    first = next(iter(finetune(chosen(data, tmp_path / "run", resume=True))))
    assert first.work == "finetune"


def test_encoder_weights_move_in_and_stay_when_frozen(data, run, tmp_path):
    encoder = run / "best.safetensors"
    frozen = {"encoder": str(encoder), "freeze": True, "epochs": 1}
    events = list(finetune(chosen(data, tmp_path / "run", **frozen, frozen_norms="kept")))
    assert any(isinstance(event, Warned) and "keys loaded (100.0%" in event.message for event in events)
    before, after = (load_checkpoint(path)[0] for path in (encoder, tmp_path / "run" / "best.safetensors"))
    for name, tensor in before.encoder.state_dict().items():
        assert torch.equal(after.encoder.state_dict()[name], tensor), name
    assert not torch.equal(after.head[0].weight, before.head[0].weight)

    list(finetune(chosen(data, tmp_path / "measured", **frozen)))
    measured = load_checkpoint(tmp_path / "measured" / "best.safetensors")[0].encoder
    kept = dict(before.encoder.named_parameters())
    assert all(torch.equal(weight, kept[name]) for name, weight in measured.named_parameters())
    assert not torch.equal(measured.bn1.running_mean, before.encoder.bn1.running_mean)


def test_norms_are_measured_on_all_windows_whatever_the_share_of_the_labels(data, tmp_path):
    encoders = {}
    for share in (0.2, 1.0):
        out = tmp_path / str(share)
        list(finetune(chosen(data, out, freeze=True, epochs=1, label_share=share)))
        encoders[share] = load_checkpoint(out / "best.safetensors")[0].encoder.state_dict()
    assert all(torch.equal(tensor, encoders[1.0][name]) for name, tensor in encoders[0.2].items())


def test_nothing_is_written_when_the_encoder_is_unknown(data, tmp_path):
    with pytest.raises(SettingsError, match="resnet18"):
        result(finetune(chosen(data, tmp_path / "run", encoder_name="resnet19")))
    assert not (tmp_path / "run").exists()


def test_two_segments_are_learned_from_together(data, tmp_path):
    other = tmp_path / "other.npy"
    other.write_bytes((data / "seg.npy").read_bytes())
    label = str(data / "seg_inklabels.npy")
    both = chosen(data, tmp_path / "run", epochs=1).model_copy(
        update={"segments": (str(data / "seg.npy"), str(other)), "ink": (label, label)}
    )
    result(finetune(both))
    assert set(load_checkpoint(tmp_path / "run" / "best.safetensors")[1]["held_out"]) == {"seg", "other"}


def test_a_strangers_checkpoint_without_layers_is_refused(data, tmp_path):
    save_checkpoint(tmp_path / "bare.safetensors", build_unet("resnet18", 8), {})
    with pytest.raises(CheckpointError, match="layers and normalisation"):
        load_model(tmp_path / "bare.safetensors", device="cpu")


def together(data, out):
    """Return a command that trains with two processes."""
    arguments = ["--ink", data / "seg_inklabels.npy", "--layers", 8, "--window", 64, "--encoder-name", "resnet18"]
    arguments += ["--epochs", 1, "--batch", 8, "--device", "cpu", "--devices", 2, "--views", "flips", "--json"]
    return [sys.executable, "-m", "volumen", "finetune", str(data / "seg.npy"), "--out", str(out), *map(str, arguments)]


@pytest.mark.slow
def test_two_processes_go_on_together(data, tmp_path):
    begun = subprocess.Popen(together(data, tmp_path / "run"), stdout=subprocess.PIPE, text=True)
    assert any(json.loads(line)["event"] == "stepped" for line in begun.stdout)
    begun.kill()
    begun.communicate()
    command = [sys.executable, "-m", "volumen", "resume", str(tmp_path / "run"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "finished"


def test_two_processes_train_together(data, tmp_path):
    command = together(data, tmp_path / "run")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "finished"
    assert sum(event["event"] == "started" for event in events) == 1
    assert (tmp_path / "run" / "best.safetensors").exists()
