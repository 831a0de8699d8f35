"""Pretraining on photographs: what runs write, that they can be gone on with, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pydantic import ValidationError

from volumen import cli, settings
from volumen.errors import LabelError, SettingsError
from volumen.events import Scored, Started, Stepped, result
from volumen.models.checkpoint import load_checkpoint, load_encoder, read_origin, save_checkpoint
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.segmenters import build_segmenter
from volumen.models.tagger_checkpoint import load_tagger
from volumen.models.unet import build_encoder
from volumen.models.weights import read_safetensors
from volumen.objectives.triplet import tag_overlap
from volumen.recipes.photos.photo_task import shown
from volumen.recipes.photos.pretrain import PhotoPupil, pretrain_photos
from volumen.recipes.photos.tagger import TagLearner
from volumen.recipes.report import report
from volumen.recipes.resume import resume
from volumen.training.run import Run
from volumen.views.turns import turn

SMALL = {"encoder_name": "tu-test_resnet", "size": 64, "batch": 8, "epochs": 2, "device": "cpu", "decoder_width": 32}
TASKS = ("rotation", "triplet", "spark")
TRIPLETS = {"drop_tags": "photo", "unlike": 0.2, "held_out_share": 0.45}  # so that what is held out has some


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Write 24 photographs, bright above and dark below, with bars of tagged colours."""
    folder = tmp_path_factory.mktemp("photos")
    rng, rows = np.random.default_rng(0), ["image,labels"]
    colours = {"red": (200, 40, 40), "green": (40, 180, 60)}
    for number in range(24):
        pixels = np.linspace(220, 30, 80)[:, None, None] + rng.normal(0, 8, (80, 72, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        chosen = [name for name in colours if rng.random() < 0.6]
        for name in chosen:
            x = int(rng.integers(0, 50))
            ImageDraw.Draw(image).rectangle((x, 30, x + 15, 50), fill=colours[name])
        image.save(folder / f"{number:02}.png")
        rows.append(f"{number:02}.png,{'|'.join(['photo', *chosen])}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def chosen(photos, out, **changes):
    own = TRIPLETS if changes.get("task") == "triplet" else {}
    return settings.PretrainPhotos(photos=(str(photos),), out=str(out), **{**SMALL, **own, **changes})


@pytest.mark.parametrize("task", TASKS)
def test_every_task_leaves_an_encoder_without_its_head(task, photos, tmp_path):
    events = list(pretrain_photos(chosen(photos, tmp_path / "run", task=task)))
    assert isinstance(events[0], Started)
    assert events[0].work == f"pretrain photos, {task}"
    scores = [event.scores for event in events if isinstance(event, Scored)]
    assert len(scores) == 2
    assert all(np.isfinite(each["loss"]) for each in scores)
    best = tmp_path / "run" / "best.safetensors"
    header = read_origin(best)
    assert header["pretext"] == task
    assert header["standard"] == ("none" if task == "spark" else "imagenet")
    encoder = build_encoder(**header["encoder"])
    assert set(read_safetensors(best)[0]) == set(encoder.state_dict())
    assert load_encoder(encoder, best).loaded_share == 1
    tagger = settings.TrainTagger(photos=(str(photos),), out=str(tmp_path / "tagger"), encoder=str(tmp_path / "run"))
    assert TagLearner.of(tagger).model.standard == header["standard"]
    assert bool(list((tmp_path / "run" / "reconstructions").glob("*.png"))) == (task == "spark")


def test_an_encoder_keeps_its_width_from_one_pretraining_to_the_next(photos, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "unet.safetensors", build_segmenter("custom_unet", width=0.125), {})
    changes = {"task": "rotation", "epochs": 1, "encoder": str(tmp_path / "unet.safetensors")}
    result(pretrain_photos(chosen(photos, tmp_path / "first", **changes)))
    changes["encoder"] = str(tmp_path / "first")
    pupil = PhotoPupil.of(chosen(photos, tmp_path / "second", **changes))
    assert any("100.0% of the encoder's weights" in text for text in pupil.warnings)


@pytest.mark.parametrize("task", TASKS)
def test_a_stopped_pretraining_goes_on_to_the_same_weights(task, photos, tmp_path):
    changes = {"task": task, "epochs": 3, "plateau": 1}
    whole = result(pretrain_photos(chosen(photos, tmp_path / "whole", **changes)))
    events = pretrain_photos(chosen(photos, tmp_path / "parts", **changes))
    for event in events:
        if isinstance(event, Stepped) and event.done == 5:
            break
    events.close()
    assert not Run.open(tmp_path / "parts").finished
    parts = result(resume(settings.Resume(run=str(tmp_path / "parts"))))
    assert parts["scores"] == whole["scores"]
    names = ["best.safetensors", *(["embedder.safetensors"] if task == "triplet" else [])]
    for name in names:
        first, second = (read_safetensors(tmp_path / run / name)[0] for run in ("whole", "parts"))
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


def test_rotation_is_learned_where_up_is_told_by_light(photos, tmp_path):
    found = result(pretrain_photos(chosen(photos, tmp_path / "run", epochs=12, learning_rate=3e-3)))
    assert found["scores"]["accuracy"] > 0.9


def test_turns_are_quarter_turns_one_for_each_image():
    images = torch.rand(6, 3, 5, 5)
    turned = turn(images, torch.tensor([0, 1, 2, 3, 1, 0]))
    for index, quarter in enumerate([0, 1, 2, 3, 1, 0]):
        assert torch.equal(turned[index], torch.rot90(images[index], quarter, (1, 2)))
    with pytest.raises(SettingsError, match="Square"):
        turn(torch.rand(2, 3, 4, 5), torch.zeros(2))


def test_the_margin_rises_over_the_steps_also_after_a_stop(photos, tmp_path):
    given = chosen(photos, tmp_path / "run", task="triplet", epochs=4, first_margin=0.1, margin=0.9)
    pupil = PhotoPupil.of(given)
    steps = pupil.steps_per_epoch
    assert steps > 1
    margins = [float(batch["margin"][0]) for epoch in range(4) for batch in pupil.batches(epoch, 0)]
    assert margins == pytest.approx([0.1 + 0.8 * min(step / (2 * steps), 1) for step in range(4 * steps)])
    assert float(next(pupil.batches(1, 1))["margin"][0]) == pytest.approx(margins[steps + 1])


@pytest.mark.parametrize("miner", ["all", "hard"])
def test_the_held_out_loss_of_triplets_counts_those_that_keep_the_margin(miner, photos, tmp_path):
    task = PhotoPupil.of(chosen(photos, tmp_path / "run", task="triplet", miner=miner, margin=0.05, batch=6)).task
    task.model.eval()
    violations = []
    for batch in shown(task.held_out, task.settings.batch, task.fabric):  # two of them
        with torch.inference_mode():
            found = task.model(batch["image"])
        overlap = tag_overlap(batch["tags"])
        alike, unlike = overlap >= task.settings.alike, overlap <= task.settings.unlike
        for a, p in (alike & ~torch.eye(len(found), dtype=torch.bool)).nonzero().tolist():
            gaps = (found[a] - found[p]).norm() - (found[a] - found[unlike[a]]).norm(dim=1)
            violations += (gaps + task.settings.margin).clamp_min(0).tolist()
    assert 0 < sum(each > 0 for each in violations) < len(violations)
    assert task.judge(task.model)["loss"] == pytest.approx(np.mean(violations), rel=1e-4)


def test_triplets_are_refused_where_what_is_held_out_has_none(photos, tmp_path):
    with pytest.raises(LabelError, match="None of 2 held-out photographs has, in a batch of 8, one with like tags"):
        list(pretrain_photos(chosen(photos, tmp_path / "run", task="triplet", held_out_share=0.1)))
    assert not (tmp_path / "run").exists()


def test_the_embedder_gives_embeddings_on_the_sphere(photos, tmp_path):
    result(pretrain_photos(chosen(photos, tmp_path / "run", task="triplet", embedding=16)))
    embedder, header = load_tagger(tmp_path / "run" / "embedder.safetensors")
    assert header["tags"] == []
    with torch.inference_mode():
        found = embedder(torch.rand(2, 3, 64, 64))
    assert found.shape == (2, 16)
    assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)
    encoder = build_photo_encoder("tu-test_resnet", 1)
    load_encoder(encoder, tmp_path / "run" / "best.safetensors")
    weights = embedder.encoder.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in encoder.encoder.state_dict().items())


def test_boxes_at_native_scale_lie_inside_and_are_the_same_each_time(photos, tmp_path):
    pupil = PhotoPupil.of(chosen(photos, tmp_path / "run", fit="crop", size=64))
    first, second = (torch.cat([b["image"] for b in shown(pupil.held_out, 2, pupil.fabric)]) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == len(pupil.held_out)
    assert (first > 0).all()  # nothing of these photographs is black, as what lies beyond them would be


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (64, 32)}, "square"),
        ({"task": "spark", "size": 48}, "multiple"),
        ({"task": "triplet", "alike": 0.1, "unlike": 0.1}, "unlike must be below"),
        ({"task": "triplet", "first_margin": 0.9}, "margin rises"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words, photos, tmp_path):
    with pytest.raises(ValidationError, match=words):
        chosen(photos, tmp_path / "run", **changes)


def test_boxes_larger_than_photographs_are_refused(photos, tmp_path):
    with pytest.raises(SettingsError, match="72 px or less"):
        result(pretrain_photos(chosen(photos, tmp_path / "run", fit="crop", size=96)))
    assert not (tmp_path / "run").exists()


def test_a_pretrained_encoder_is_no_model_that_predicts(photos, tmp_path):
    result(pretrain_photos(chosen(photos, tmp_path / "run", epochs=1)))
    with pytest.raises(Exception, match="holds an encoder"):
        load_checkpoint(tmp_path / "run" / "best.safetensors")


def test_the_command_line_takes_the_task_as_an_option(photos, tmp_path):
    words = ["pretrain", "photos", str(photos), "--out", str(tmp_path / "run"), "--task", "spark", "--epochs", "1"]
    small = ["--encoder-name", "tu-test_resnet", "--size", "64", "--decoder-width", "32", "--device", "cpu", "--json"]
    assert cli.main([*words, *small]) == 0
    assert Run.open(tmp_path / "run").recipe["settings"]["task"] == "spark"


@pytest.mark.parametrize(("task", "shown"), [("rotation", "Turns told right"), ("spark", "the first")])
def test_a_report_tells_what_was_learned(task, shown, photos, tmp_path):
    found = result(pretrain_photos(chosen(photos, tmp_path / "run", task=task)))
    page = result(report(settings.Report(runs=(str(tmp_path / "run"),), out=str(tmp_path / "report"))))["path"]
    text = Path(page).read_text()
    assert shown in text
    assert "An encoder, started from random weights" in text
    assert f"{found['scores']['loss']:.3f}"[:4] in text
