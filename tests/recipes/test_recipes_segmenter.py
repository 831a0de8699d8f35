"""Training segmenters of photographs: what runs write, what never counts, that they go on where they were stopped."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from volumen import settings
from volumen.crops.photo_dataset import PhotoDataset
from volumen.errors import CheckpointError, LabelError, SourceError
from volumen.evaluation.photo_overlap import PhotoOverlap
from volumen.events import Scored, Started, Stepped, Warned, result
from volumen.models.checkpoint import load_checkpoint, save_encoder
from volumen.models.custom_unet import CustomUNet
from volumen.models.unet import build_encoder
from volumen.models.weights import read_safetensors
from volumen.objectives.segmentation import BceDice
from volumen.recipes.photos.maps import predict_photo
from volumen.recipes.photos.overlaps import judge, read_overlaps, write_overlaps
from volumen.recipes.photos.segmenter import train_segmenter
from volumen.recipes.resume import resume
from volumen.sources.photos.read_photos import read_photos
from volumen.training.devices import open_fabric
from volumen.training.run import Run

STREET = Path(__file__).parents[3] / "shared/data/scene_text/ctw_style.jsonl"
SMALL = {"model_width": 1 / 8, "size": (32, 64), "batch": 4, "epochs": 2, "held_out_share": 0.25, "device": "cpu"}


def write_photos(folder: Path, count: int = 12, *, hidden: bool = False) -> Path:
    """Write 48 × 96 photographs of red boxes; at the top left, a region to ignore, with a character below if asked."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for index in range(count):
        draw = np.random.default_rng(index)
        pixels = draw.integers(0, 90, (48, 96, 3), dtype=np.uint8)
        y, x = int(draw.integers(16, 30)), int(draw.integers(16, 70))
        pixels[y : y + 16, x : x + 24] = (250, 10, 10)
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
        polygons = [[[x, y], [x + 24, y], [x + 24, y + 16], [x, y + 16]]]
        polygons += [[[1, 1], [10, 1], [10, 9], [1, 9]]] if hidden else []
        texts = [[{"polygon": polygon, "text": "中", "is_chinese": True}] for polygon in polygons]
        ignore = [{"polygon": [[0, 0], [12, 0], [12, 12], [0, 12]]}]
        lines.append(json.dumps({"file_name": f"{index}.png", "annotations": texts, "ignore": ignore}))
    (folder / "list.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "list.jsonl"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


def chosen(photos: Path, out: Path, **changes: Any) -> settings.TrainSegmenter:
    return settings.TrainSegmenter(photos=(str(photos),), out=str(out), **{**SMALL, **changes})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_safetensors(run / "best.safetensors")[0]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_segmenter_learns_to_find_what_is_marked(photos: Path, tmp_path: Path) -> None:
    changes = {"epochs": 12, "learning_rate": 1e-2, "loss": "bce_dice", "views": "none"}
    events = list(train_segmenter(chosen(photos, tmp_path / "run", **changes)))
    assert isinstance(events[0], Started)
    assert events[0].detail == {"photos": 9, "held_out_photos": 3, "steps_per_epoch": 3}
    told = events[-1].result
    assert told["scores"]["iou_hard_pooled"] > 0.8
    assert all(event.scores["epoch_seconds"] > 0 for event in events if isinstance(event, Scored))
    model, header = load_checkpoint(told["checkpoint"])
    assert isinstance(model, CustomUNet)
    said = (header["layer_count"], header["surface_offset"], header["input_size"], header["threshold"])
    assert said == (3, -1, [32, 64], 0.5)
    assert len(header["held_out_photos"]) == 3
    names, overlap = read_overlaps(tmp_path / "run" / "overlaps.csv")
    assert list(names) == header["held_out_photos"]
    scores = overlap.scores(batch=4)
    assert {name: told["scores"][name] for name in scores} == pytest.approx(scores)
    maps = sorted((tmp_path / "run" / "maps").iterdir())
    assert [path.name for path in maps] == [f"{n:04d}-{name}.png" for n, name in enumerate(names)]
    dataset = PhotoDataset([photo for photo in read_photos(photos).photos if photo.name in names], size=(32, 64))
    for index, path in enumerate(maps):
        called = np.asarray(Image.open(path)) > 127
        truth = dataset[index]["target"][0].bool().numpy()
        assert (called & truth).sum() / (called | truth).sum() > 0.6


@pytest.mark.parametrize(
    "changes", [{"fit": "resize", "model": "custom_unet"}, {"fit": "crop", "size": (32, 32), "model": "simple_segnet"}]
)
def test_a_stopped_run_goes_on_to_the_same_weights(photos: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = result(train_segmenter(chosen(photos, tmp_path / "whole", **changes)))
    events = train_segmenter(chosen(photos, tmp_path / "parts", **changes))
    for event in events:
        if isinstance(event, Stepped) and event.done == 4:  # within the second epoch
            break
    events.close()
    assert not Run.open(tmp_path / "parts").finished
    parts = result(resume(settings.Resume(run=str(tmp_path / "parts"))))
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    files = [(tmp_path / name / "overlaps.csv").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]
    timed = [e.scores["epoch_seconds"] for e in Run.open(tmp_path / "parts").events() if isinstance(e, Scored)]
    assert [seconds is None for seconds in timed] == [epoch == 2 for epoch in range(1, len(timed) + 1)]
    same = [name for name in whole["scores"] if name != "epoch_seconds"]
    assert [parts["scores"][name] for name in same] == [whole["scores"][name] for name in same]


def test_what_is_marked_in_a_region_to_ignore_changes_nothing(photos: Path, tmp_path: Path) -> None:
    hidden = write_photos(tmp_path / "hidden", hidden=True)
    told = [
        result(train_segmenter(chosen(path, tmp_path / name))) for path, name in ((photos, "one"), (hidden, "other"))
    ]
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "other"))
    assert told[0]["scores"]["iou_soft_pooled"] == told[1]["scores"]["iou_soft_pooled"]


def test_what_is_predicted_in_a_region_to_ignore_is_not_scored(photos: Path) -> None:
    class Corner(torch.nn.Module):
        """Be sure of everything in the corner, and of nothing else."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            logits = torch.full_like(image[:, :1], -30.0)
            logits[..., :8, :8] = 30.0  # 12 of 48 px, at a height of 32
            return logits

    dataset = PhotoDataset(read_photos(photos).photos, size=(32, 64))
    judged = judge(Corner(), dataset, BceDice(), batch=5, fabric=open_fabric(device="cpu"))
    assert judged.overlap.hard[:, 1].sum() == 0
    assert (judged.overlap.hard[:, 2] > 0).all()


def test_tiles_of_one_photograph_are_added_up(photos: Path, tmp_path: Path) -> None:
    """A model that looks at single pixels finds the same in tiles as in whole photographs."""
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, 1, 1)
    fabric, found = open_fabric(device="cpu"), read_photos(photos).photos
    whole = judge(model, PhotoDataset(found, size=(48, 96)), BceDice(), batch=3, fabric=fabric)
    dataset = PhotoDataset(found, size=32, fit="crop")
    tiled = judge(model, dataset, BceDice(), batch=3, fabric=fabric)
    np.testing.assert_allclose(tiled.overlap.soft, whole.overlap.soft, rtol=1e-6)
    np.testing.assert_array_equal(tiled.overlap.hard, whole.overlap.hard)
    with torch.no_grad():
        expected = torch.sigmoid(model(torch.from_numpy(found[2].pixels() / np.float32(255)).permute(2, 0, 1)))[0]
    np.testing.assert_allclose(predict_photo(model, dataset, 2, fabric=fabric), expected, atol=1e-6)
    write_overlaps(tmp_path / "a.csv", tiled)
    names, again = read_overlaps(tmp_path / "a.csv")
    assert names == tiled.names
    np.testing.assert_array_equal(again.soft, tiled.overlap.soft)
    assert isinstance(again, PhotoOverlap)


def test_a_unet_starts_from_an_encoder_and_sees_what_it_saw(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    said = {"encoder_name": "tu-mobilenetv3_small_050", "in_channels": 3}
    encoder = build_encoder(**said)
    save_encoder(tmp_path / "a.safetensors", encoder, said, {"standard": "none"})
    changes = {"model": "unet", "epochs": 1, "learning_rate": 1e-9, "encoder": str(tmp_path / "a.safetensors")}
    changes["encoder_name"] = said["encoder_name"]
    told = result(train_segmenter(chosen(photos, tmp_path / "run", **changes)))
    model, header = load_checkpoint(told["checkpoint"])
    assert header["architecture"] == {**said, "classes": 1}
    learned = dict(model.encoder.named_parameters())
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(learned[name], parameter, rtol=0, atol=1e-6)
    save_encoder(tmp_path / "b.safetensors", encoder, said, {"standard": "imagenet"})
    changes["encoder"] = str(tmp_path / "b.safetensors")
    model, header = load_checkpoint(result(train_segmenter(chosen(photos, tmp_path / "two", **changes)))["checkpoint"])
    assert header["architecture"]["standard"] == "imagenet"
    seen: list[torch.Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(torch.full((1, 3, 32, 32), 0.485))
    assert seen[0][0, 0].abs().max() < 1e-6
    with pytest.raises(CheckpointError, match="None of the"):
        list(train_segmenter(chosen(photos, tmp_path / "three", **{**changes, "model": "custom_unet"})))


def test_photographs_of_which_nothing_is_known_are_left_out(photos: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for index in range(4):
        Image.new("RGB", (64, 64)).save(bare / f"{index}.png")
    both = chosen(photos, tmp_path / "run", epochs=1).model_copy(update={"photos": (str(photos), str(bare))})
    warned = [event.message for event in train_segmenter(both) if isinstance(event, Warned)]
    assert any("Left out 4 of 16 photographs: without polygons or mask" in text for text in warned)
    with pytest.raises(LabelError, match="without polygons or mask"):
        list(train_segmenter(chosen(bare, tmp_path / "none")))
    assert not (tmp_path / "none").exists()


def test_a_run_goes_on_only_with_its_own_photographs(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    events = train_segmenter(chosen(photos, tmp_path / "run"))
    list(islice(events, 3))
    events.close()
    photos.write_text(photos.read_text().replace("[12, 12]", "[12, 13]"))
    with pytest.raises(SourceError, match="list_hash changed"):
        list(resume(settings.Resume(run=str(tmp_path / "run"))))


def test_broken_photographs_are_named(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    for name in ("0.png", "1.png", "2.png", "3.png"):
        path = tmp_path / "photos" / "images" / name
        path.write_bytes(path.read_bytes()[:500])
    *events, finished = train_segmenter(chosen(photos, tmp_path / "run"))
    warned = "".join(event.message for event in events if isinstance(event, Warned))
    assert "image or mask that cannot be used" in warned
    assert np.isfinite(finished.result["scores"]["loss"])


def test_settings_say_what_cannot_be(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="multiples of 32; got 32,50"):
        chosen(photos, tmp_path, size="32,50")
    read = settings.TrainSegmenter(photos=("a",), out="b", size="64", background="0,19,41")
    assert (read.size, read.background) == ((64, 64), (0, 19, 41))
    assert settings.TrainSegmenter.model_validate(read.model_dump(mode="json")) == read
    usual = settings.TrainSegmenter(photos=("a",), out="b")
    assert (usual.batch, usual.epochs, usual.learning_rate, usual.size, usual.plateau) == (8, 100, 1e-4, (512, 512), 0)


@pytest.mark.skipif(not STREET.exists(), reason="needs ../shared/data/scene_text")
def test_all_real_street_photographs_run_through(tmp_path: Path) -> None:
    changes = {"model": "simple_segnet", "size": (96, 160), "epochs": 1, "held_out_share": 0.3}
    told = result(train_segmenter(chosen(STREET, tmp_path / "run", **changes)))
    assert np.isfinite(told["scores"]["loss"])
    model, _ = load_checkpoint(told["checkpoint"])
    dataset = PhotoDataset(read_photos(STREET).photos, size=(96, 160))
    judged = judge(model, dataset, BceDice(bce_weight=0.0), batch=4, fabric=open_fabric(device="cpu"))
    assert len(judged.names) == 10
    nothing = [name for name, true in zip(judged.names, judged.overlap.hard[:, 2], strict=True) if not true]
    assert sorted(nothing) == ["img_4", "img_5"]  # only regions to ignore
    assert judged.overlap.empty == 2
    assert np.isfinite(judged.loss)
    assert np.isfinite(list(judged.overlap.scores(batch=4).values())).all()
