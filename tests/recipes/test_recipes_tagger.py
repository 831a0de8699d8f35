"""Training a tagger of photographs: what runs write, that they can be gone on with, and what is refused."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from volumen import settings
from volumen.errors import CheckpointError, LabelError, OutOfMemoryError, SettingsError, SourceError
from volumen.evaluation.labels import score_tags
from volumen.events import Finished, Scored, Started, Stepped, Warned, result
from volumen.models.checkpoint import save_checkpoint
from volumen.models.custom_unet import CustomUNet
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.tagger_checkpoint import load_tagger, save_tagger
from volumen.models.transplant import load_encoder
from volumen.models.weights import read_safetensors
from volumen.recipes.photos.photo_corpus import PhotoCorpus
from volumen.recipes.photos.photo_course import PlateauRates
from volumen.recipes.photos.photo_start import measure_photos
from volumen.recipes.photos.pooled import Pooled
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.photos.tagger import TagLearner, train_tagger
from volumen.recipes.resume import resume
from volumen.training.devices import open_fabric
from volumen.training.run import Run

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
SMALL = {"encoder_name": "tu-test_resnet", "size": 32, "batch": 8, "epochs": 2, "device": "cpu", "held_out_share": 0.25}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Write 32 photographs of coloured bars, their tags the colours, in a table."""
    folder = tmp_path_factory.mktemp("photos")
    rng, rows = np.random.default_rng(0), ["image,labels"]
    for number in range(32):
        image = Image.fromarray(rng.integers(90, 130, (48, 40, 3), dtype=np.uint8))
        chosen = [name for name in COLOURS if rng.random() < 0.5]
        for name in chosen:
            x = int(rng.integers(0, 30))
            ImageDraw.Draw(image).rectangle((x, 0, x + 9, 47), fill=COLOURS[name])
        image.save(folder / f"{number:02}.png")
        rows.append(f"{number:02}.png,{'|'.join(['skin', *chosen])}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def chosen(photos, out, **changes):
    return settings.TrainTagger(photos=(str(photos),), out=str(out), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def trained(photos):
    out = photos.parent / "run"
    return out, list(train_tagger(chosen(photos, out, drop_tags="skin")))


def test_a_run_leaves_a_tagger_that_says_again_what_its_table_holds(photos, trained):
    out, events = trained
    assert isinstance(events[0], Started)
    assert events[0].detail["photos"] == 24
    assert len([event for event in events if isinstance(event, Stepped)]) == 6
    assert isinstance(events[-1], Finished)
    found = events[-1].result
    assert found["tags"] == ["blue", "green", "red"]
    tagger, header = load_tagger(out / "best.safetensors")
    assert header["tags"] == ["blue", "green", "red"]
    said = read_said(out / "tags.csv")
    learner = TagLearner.of(chosen(photos, out, drop_tags="skin"))
    probabilities, truth, names = learner.said(tagger)
    assert tuple(names) == said.names
    assert np.array_equal(truth, said.truth)
    assert said.probabilities == pytest.approx(probabilities, abs=1e-6)
    assert np.array_equal(said.said, probabilities >= header["threshold"])
    scores = score_tags(said.said, said.truth)
    assert scores["f1"] == pytest.approx(found["scores"]["f1"])
    assert set(found["guesses"]) == {"always", "never", "frequent"}


def test_the_held_out_loss_is_weighted_as_that_of_learning_is(photos, tmp_path):
    learner = TagLearner.of(chosen(photos, tmp_path / "run", pos_weight="balanced"))
    p, truth, _ = learner.said(learner.model.eval())
    weight = np.array(learner.loss.pos_weight)
    assert len(set(weight)) > 1
    bce = -(weight * truth * np.log(p) + ~truth * np.log1p(-p)).mean()
    assert learner.judge(learner.model)["loss"] == pytest.approx(bce, rel=1e-5)


def test_what_is_held_out_is_never_learned_from(photos, trained):
    out, _ = trained
    learner = TagLearner.of(chosen(photos, out))
    held_out = {photo.name for photo in learner.held_out.photos}
    assert not held_out & {photo.name for photo in learner.train.photos}
    assert set(read_said(out / "tags.csv").names) == held_out


@pytest.mark.parametrize("changes", [{}, {"freeze": True, "head": "mlp", "pos_weight": "balanced", "plateau": 1}])
def test_a_stopped_tagger_goes_on_to_the_same_weights(changes, photos, trained, tmp_path):
    changes = {**changes, "encoder": str(trained[0]), "epochs": 4, "plateau": 1}
    whole = result(train_tagger(chosen(photos, tmp_path / "whole", **changes)))
    events = train_tagger(chosen(photos, tmp_path / "parts", **changes))
    for event in events:
        if isinstance(event, Stepped) and event.done == 8:
            break
    events.close()
    assert not Run.open(tmp_path / "parts").finished
    parts = result(resume(settings.Resume(run=str(tmp_path / "parts"))))
    assert parts["scores"] == whole["scores"]
    first, second = (read_safetensors(tmp_path / name / "best.safetensors")[0] for name in ("whole", "parts"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert (tmp_path / "whole/tags.csv").read_text() == (tmp_path / "parts/tags.csv").read_text()


def test_a_stopped_tagger_does_not_go_on_over_another_encoder(photos, trained, tmp_path):
    tagger, header = load_tagger(trained[0] / "best.safetensors")
    save_tagger(tmp_path / "start.safetensors", tagger, header)
    asked = chosen(photos, tmp_path / "run", encoder=str(tmp_path / "start.safetensors"), freeze=True)
    events = train_tagger(asked)
    next(event for event in events if isinstance(event, Stepped))
    events.close()
    torch.nn.init.normal_(next(tagger.encoder.parameters()))
    save_tagger(tmp_path / "start.safetensors", tagger, header)
    with pytest.raises(SourceError, match="the weights in it changed"):
        list(resume(settings.Resume(run=asked.out)))


def test_a_frozen_encoder_stays_and_its_head_learns(photos, trained, tmp_path):
    start = {"encoder": str(trained[0] / "best.safetensors"), "freeze": True, "frozen_norms": "kept"}
    result(train_tagger(chosen(photos, tmp_path / "run", **start)))
    before, after = (read_safetensors(each / "best.safetensors")[0] for each in (trained[0], tmp_path / "run"))
    encoder = [name for name in before if name.startswith("encoder.")]
    assert encoder
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_no_room_for_a_frozen_encoder_is_an_error_with_a_cure(photos, trained, tmp_path):
    def look(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    learner = TagLearner.of(chosen(photos, tmp_path / "run"))
    with pytest.raises(OutOfMemoryError, match="Use a smaller batch"):
        Pooled(learner.train, look, batch=8, fabric=learner.fabric)
    learner.model.encoder.forward = look
    with pytest.raises(OutOfMemoryError, match="Use a smaller batch"):
        measure_photos(learner.model, learner.train, batch=8, fabric=learner.fabric)


def test_a_frozen_head_learns_the_same_from_kept_vectors_as_from_images(photos, trained, tmp_path):
    settled = chosen(photos, tmp_path / "run", encoder=str(trained[0]), freeze=True)
    learner = TagLearner.of(settled)
    batch = next(learner.batches(0, 0))
    images = torch.stack([learner.train.sample(int(i), epoch=0)["image"] for i in learner.pooled[0].order(0)[:8]])
    with torch.inference_mode():
        assert torch.allclose(learner.model.eval().features(images), batch["features"], atol=1e-5)
        direct = learner.loss(learner.model(images), batch["tags"]).total
        assert float(learner.objective(learner.model, batch).total) == pytest.approx(float(direct), abs=1e-5)


def test_the_rate_falls_where_the_loss_has_levelled_off(photos, tmp_path):
    # a rate this low leaves the loss where it is, up or down
    events = list(train_tagger(chosen(photos, tmp_path / "run", learning_rate=1e-12, epochs=4, plateau=1)))
    rates = [event.values["learning_rate"] for event in events if isinstance(event, Stepped)]
    losses = [event.scores["loss"] for event in events if isinstance(event, Scored)]
    assert rates[:3] == [1e-12] * 3
    cuts = sum(loss >= min(losses[:i]) * (1 - 1e-4) for i, loss in enumerate(losses[:3]) if i)
    assert rates[-1] == pytest.approx(1e-12 * 0.1**cuts)
    assert cuts


def test_a_loss_that_is_no_number_is_no_improvement(tmp_path):
    run = Run.create(tmp_path / "run", {"verb": "train tagger"})
    for epoch, loss in enumerate((2.0, float("nan"), 1.0), start=1):
        run.record(Scored(step=epoch, scores={"loss": loss}))
    rates = PlateauRates(run, open_fabric(device="cpu"), steps_per_epoch=1, peak=1.0, patience=1)
    assert [rates(step).learning_rate for step in range(4)] == pytest.approx([1.0, 1.0, 0.1, 0.1])


def test_characters_are_tags_and_the_most_frequent_is_found(tmp_path):
    for number in range(16):
        texts = ["中", "国"] if number % 3 else ["国"] if number > 8 else []
        shapes = [
            {"label": text, "points": [[2, 2], [20, 2], [20, 20], [2, 20]], "shape_type": "polygon"} for text in texts
        ]
        Image.new("RGB", (40, 40), (number * 15, 90, 90)).save(tmp_path / f"{number:02}.png")
        labelme = {"version": "5", "imagePath": f"{number:02}.png", "imageHeight": 40, "imageWidth": 40}
        (tmp_path / f"{number:02}.json").write_text(json.dumps({**labelme, "shapes": shapes}))
    learner = TagLearner.of(chosen(tmp_path, tmp_path / "run", most_frequent=1))
    assert learner.tags == ("国",)
    assert learner.score == "micro_f1"
    truth = [photo.tags for photo in learner.train.photos]
    assert {("中", "国"), ()} < {*truth}


def test_a_segmenters_run_names_its_own_encoder(photos, tmp_path):
    save_checkpoint(tmp_path / "best.safetensors", CustomUNet(width=0.25), {})
    learner = TagLearner.of(chosen(photos, tmp_path / "run", encoder=str(tmp_path), freeze=True, head="mlp"))
    assert learner.model.architecture == {
        "encoder_name": "custom_unet",
        "outputs": 4,
        "head": "mlp",
        "standard": "none",
        "width": 0.25,
    }
    assert any("100.0%" in warning for warning in learner.warnings)


def test_photographs_without_any_tag_are_left_out_and_counted(photos, tmp_path):
    table = tmp_path / "labels.csv"
    rows = photos.read_text().splitlines()
    bare = [f"{photos.parent}/{rows[1].split(',')[0]},", *(f"{photos.parent}/{row}" for row in rows[2:])]
    table.write_text("\n".join([rows[0], *bare]) + "\n")
    warned = [
        event.message for event in islice(train_tagger(chosen(table, tmp_path / "run")), 4) if isinstance(event, Warned)
    ]
    assert any("Left out 1 of 32 photographs: without tags" in message for message in warned)
    whole = PhotoCorpus.of(chosen(photos, tmp_path / "run"))
    assert len(whole.split.train) + len(whole.split.held_out) == 32


def test_what_does_not_fit_is_refused(photos, trained, tmp_path):
    with pytest.raises(LabelError, match="none of hat"):
        TagLearner.of(chosen(photos, tmp_path / "run", tags="hat"))
    model = build_photo_encoder("tu-test_resnet", 2)
    save_file(model.state_dict(), tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="holds no tagger"):
        load_tagger(tmp_path / "foreign.safetensors")
    with pytest.raises(SettingsError, match="a tag for each"):
        save_tagger(tmp_path / "x.safetensors", model, {"tags": ["a"]})
    assert load_encoder(build_photo_encoder("tu-test_resnet", 4), trained[0] / "best.safetensors").loaded_share == 1
