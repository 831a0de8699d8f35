"""Pretraining without labels: what a run writes, what its encoder is good for, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from volumen import settings
from volumen.errors import CheckpointError, OutputExistsError, SettingsError
from volumen.events import Finished, Scored, Started, Stepped, Warned, result
from volumen.models.checkpoint import load_checkpoint, read_header
from volumen.recipes.finetune import finetune
from volumen.recipes.pretrain import pretrain_spark
from volumen.recipes.resume import resume
from volumen.training.run import Run

SHAPE = (12, 192, 256)
SMALL = {
    "layers": 4,
    "window": 64,
    "stride": 64,
    "encoder_name": "resnet18",
    "decoder_width": 32,
    "input_size": 64,
    "epochs": 2,
    "warm_up_epochs": 0,
    "batch": 4,
    "held_out_share": 0.2,
    "held_out_crops": 4,
    "learning_rate": 0.1,  # for a batch of 256
    "device": "cpu",
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """Write a volume of crossed stripes without any label."""
    z, y, x = np.indices(SHAPE)
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)
    path = tmp_path_factory.mktemp("data") / "stripes.npy"
    np.save(path, (128 + 40 * np.sin(y / 3 + z) + 40 * np.sin(x / 5) + noise).clip(1, 255).astype(np.uint8))
    return path


def chosen(volume, out, **changes):
    return settings.PretrainSpark(segments=(str(volume),), out=str(out), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def run(volume):
    result(pretrain_spark(chosen(volume, volume.parent / "run")))
    return volume.parent / "run"


def test_a_run_says_whether_it_learns(run):
    events = list(Run.open(run).events())
    assert isinstance(events[0], Started)
    assert events[0].detail["held_out_crops"] >= 2
    scored = [event for event in events if isinstance(event, Scored)]
    assert [event.step for event in scored] == [1, 2]
    for event in scored:
        assert {
            "loss",
            "pixel_error",
            "mean_level",
            "mean_patch",
            "nearest_patch",
            "inpaint",
            "spread",
            "effective_rank",
        } <= set(event.scores)
    first, last = (event.scores for event in scored)
    assert first["mean_patch"] == last["mean_patch"]  # the same crops under the same masks
    assert isinstance(events[-1], Finished)
    assert events[-1].result["scores"] == scored[-1].scores
    assert [path.name for path in sorted((run / "reconstructions").iterdir())] == ["epoch_0001.png", "epoch_0002.png"]
    with Image.open(run / "reconstructions" / "epoch_0001.png") as sheet:
        assert sheet.width > 5 * 64


def test_texture_is_told_instead_of_voxels(volume, tmp_path):
    told = result(pretrain_spark(chosen(volume, tmp_path / "run", targets="gradient", views="mild")))
    assert "pixel_error" not in told["scores"]
    assert np.isfinite(told["scores"]["loss"])
    assert told["scores"]["inpaint"] > 0
    assert len(list((tmp_path / "run" / "reconstructions").iterdir())) == 2


def test_the_recipe_and_the_header_say_what_it_was_made_from(run, volume):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["verb"] == "pretrain spark"
    assert settings.PretrainSpark.model_validate(recipe["settings"]) == chosen(volume, run)
    header = read_header_of_encoder(run / "best.safetensors")
    assert header["encoder"] == {"encoder_name": "resnet18", "in_channels": 4}
    assert header["pretext"] == "spark"
    assert header["normalization"] == recipe["normalization"]


def read_header_of_encoder(path):
    with pytest.raises(CheckpointError, match="finetune --encoder"):
        read_header(path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["volumen"])


def test_the_encoder_moves_into_a_plain_unet_and_a_plain_resnet_in_three_lines(run):
    image = torch.rand(2, 4, 64, 96, generator=torch.Generator().manual_seed(0))
    weights = load_file(run / "best.safetensors")

    unet = smp.Unet("resnet18", encoder_weights=None, in_channels=4)
    unet.encoder.load_state_dict(weights)
    resnet = timm.create_model("resnet18", in_chans=4, num_classes=0)
    resnet.load_state_dict(weights)

    with torch.inference_mode():
        theirs = resnet.eval().forward_features(image)
        ours = unet.eval().encoder(image)[-1]
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(volume, run, tmp_path):
    whole = load_file(run / "best.safetensors")
    out = tmp_path / "run"
    for stop in (1, 4):
        events = pretrain_spark(chosen(volume, out, resume=True, save_seconds=0))
        for event in events:
            if isinstance(event, Stepped) and event.done >= stop:
                events.close()
                break
    last = result(resume(settings.Resume(run=str(out))))
    assert last["epochs"] == 2
    again = load_file(out / "best.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_labels_are_not_looked_at(volume, run, tmp_path):
    folder = tmp_path / "labelled"
    folder.mkdir()
    (folder / "stripes.npy").write_bytes(volume.read_bytes())
    ink = np.zeros(SHAPE[1:], np.uint8)
    ink[:20] = 255
    np.save(folder / "stripes_inklabels.npy", ink)
    result(pretrain_spark(chosen(folder / "stripes.npy", tmp_path / "run")))
    whole, again = (load_file(path / "best.safetensors") for path in (run, tmp_path / "run"))
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_mask_keeps_what_lies_outside_the_papyrus_out(volume, tmp_path):
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[:, :192] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    voxels = np.load(volume)
    spoilt = voxels.copy()
    spoilt[:, :, 200:] = 0
    np.save(tmp_path / "stripes.npy", spoilt)
    detail = {}
    for name, path in (("whole", volume), ("masked", tmp_path / "stripes.npy")):
        masks = {"mask": (str(tmp_path / "mask.png"),)} if name == "masked" else {}
        detail[name] = next(iter(pretrain_spark(chosen(path, tmp_path / name, **masks)))).detail
    assert 0 < detail["masked"]["crops"] < detail["whole"]["crops"]


def test_a_probe_scores_the_features_where_there_are_labels(volume, tmp_path):
    ink = np.zeros(SHAPE[1:], np.uint8)
    for left in range(0, 256, 32):
        ink[:, left : left + 12] = 255
    np.save(tmp_path / "ink.npy", ink)
    label = str(tmp_path / "ink.npy")
    out = tmp_path / "run"
    result(pretrain_spark(chosen(volume, out, ink=(label,), probe_epochs=2)))
    first, last = (event.scores for event in Run.open(out).events() if isinstance(event, Scored))
    assert "probe_auc" not in first
    assert 0.5 < last["probe_auc"] <= 1
    assert last["probe_voxels_auc"] > 0
    assert last["probe_voxels_average_precision"] > 0


def test_without_labels_nothing_is_probed_and_the_run_says_so(volume, tmp_path):
    told = list(pretrain_spark(chosen(volume, tmp_path / "run", epochs=1, probe_epochs=1)))
    assert any("The features are not probed: A probe needs ink" in e.message for e in told if isinstance(e, Warned))
    assert isinstance(told[-1], Finished)
    assert "probe_auc" not in told[-1].result["scores"]


def test_text_lines_of_any_length_go_the_same_way(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file\tsplit\twidth\theight"]
    for number, width in enumerate((100, 180, 260, 300, 90, 210)):
        stripes = 128 + 90 * np.sin(np.arange(width) / (3 + number)) + rng.normal(0, 5, (64, width))
        Image.fromarray(stripes.clip(0, 255).astype(np.uint8)).save(tmp_path / f"line{number}.png")
        rows.append(f"line{number}.png\t{'val' if number > 3 else 'train'}\t{width}\t64")
    (tmp_path / "lines.tsv").write_text("\n".join(rows) + "\n")
    lines = {"layers": None, "window": (64, 128), "input_size": (64, 128), "stride": None, "normalization": "divide"}
    last = result(pretrain_spark(chosen(tmp_path / "lines.tsv", tmp_path / "run", **lines, resized_crop=False)))
    assert last["epochs"] == 2
    assert load_file(tmp_path / "run" / "best.safetensors")["conv1.weight"].shape[1] == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"window": 512}, SettingsError, "512"),
        ({"encoder_name": "se_resnet50"}, SettingsError, "cannot run on visible patches"),
        ({"encoder_name": "resnet19"}, SettingsError, "There is no encoder"),
        ({"layers": 40}, SettingsError, "crop of 40 layers; it has 12"),
        ({"held_out_region": (0, 192, 0, 256)}, SettingsError, "Hold out another region"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(volume, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        list(pretrain_spark(chosen(volume, tmp_path / "run", **changes)))
    assert not list(tmp_path.iterdir())


def test_a_region_without_papyrus_is_refused(volume, tmp_path):
    mask = np.zeros(SHAPE[1:], np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    with pytest.raises(Exception, match="papyrus") as caught:
        list(pretrain_spark(chosen(volume, tmp_path / "run", mask=(str(tmp_path / "mask.png"),))))
    assert type(caught.value).__module__ == "volumen.errors"
    assert not (tmp_path / "run").exists()


def test_weights_that_fill_little_of_the_encoder_are_refused(volume, run, tmp_path):
    weights = load_file(run / "best.safetensors")
    torch.save({name: tensor for name, tensor in weights.items() if "layer4" not in name}, tmp_path / "few.pth")
    with pytest.raises(CheckpointError, match=r"fills only 2\d\.\d%"):
        list(pretrain_spark(chosen(volume, tmp_path / "run", encoder=str(tmp_path / "few.pth"))))
    assert not (tmp_path / "run").exists()


def test_going_on_with_other_settings_is_refused_and_says_which(volume, run):
    with pytest.raises(SettingsError, match=r"masked was 0\.6, now 0\.5"):
        list(pretrain_spark(chosen(volume, run, resume=True, masked=0.5)))
    with pytest.raises(OutputExistsError):
        list(pretrain_spark(chosen(volume, run)))


def test_finetuning_takes_the_encoder_and_refuses_another_number_of_layers(volume, run, tmp_path):
    ink = np.zeros(SHAPE[1:], np.uint8)
    for left in range(0, 256, 32):
        ink[:, left : left + 12] = 255
    np.save(tmp_path / "ink.npy", ink)
    fields = {
        "segments": (str(volume),),
        "ink": (str(tmp_path / "ink.npy"),),
        "encoder": str(run / "best.safetensors"),
        "encoder_name": "resnet18",
        "window": 64,
        "held_out_region": (0, 192, 192, 256),
        "epochs": 1,
        "views": "none",
        "freeze": True,
        "frozen_norms": "kept",
        "device": "cpu",
    }
    with pytest.raises(CheckpointError, match="4 input channels"):
        list(finetune(settings.Finetune(**fields, layers=6, out=str(tmp_path / "six"))))
    assert not (tmp_path / "six").exists()
    result(finetune(settings.Finetune(**fields, layers=4, out=str(tmp_path / "four"))))
    network, _ = load_checkpoint(tmp_path / "four" / "best.safetensors")
    for key, tensor in load_file(run / "best.safetensors").items():
        assert torch.equal(network.encoder.state_dict()[key], tensor)


def test_paper_mode_is_what_was_published_and_what_is_given_wins():
    paper = settings.PretrainSpark(segments=("a",), out="b", mode="paper")
    assert (paper.optimizer, paper.decoder_width, paper.epochs, paper.warm_up_epochs) == ("lamb", 768, 1600, 40)
    assert (paper.learning_rate, paper.weight_decay, paper.final_weight_decay, paper.masked) == (2e-4, 0.04, 0.2, 0.6)
    assert settings.PretrainSpark(segments=("a",), out="b", mode="paper", epochs=5).epochs == 5
    assert paper.model_size == (224, 224)


def test_fibers_are_reconstructed_from_a_real_scan(tmp_path):
    data = Path(__file__).parents[3] / "shared" / "data" / "microct" / "fibers.tif"
    if not data.exists():
        pytest.skip(f"{data} is not here")
    fields = {"layer_stride": 25, "epochs": 1, "window": 64, "stride": 43}
    last = result(pretrain_spark(chosen(data, tmp_path / "run", **fields)))
    assert np.isfinite(list(last["scores"].values())).all()
