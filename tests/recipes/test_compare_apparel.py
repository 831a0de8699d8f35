"""Comparing encoders of photographs: what a comparison writes, that it goes on, and that its numbers are its runs'."""

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image, ImageDraw
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file

from volumen import settings
from volumen.errors import LabelError, SettingsError
from volumen.evaluation.labels import score_tags
from volumen.evaluation.retrieval import chance_overlap, retrieval_overlap
from volumen.events import Scored, Stepped, result
from volumen.models.checkpoint import load_checkpoint
from volumen.models.photo_encoder import build_photo_encoder
from volumen.recipes.comparing.apparel.background import Foreground
from volumen.recipes.comparing.apparel.cells import ApparelCell, cells_of, lacking, untrained_of
from volumen.recipes.comparing.apparel.finding import Answers, embedder_of, find
from volumen.recipes.comparing.apparel.inputs import ApparelPhotos
from volumen.recipes.comparing.apparel.results import drawn_verdict, retrieval_rows
from volumen.recipes.families import compare
from volumen.recipes.photos.said_tags import read_said
from volumen.recipes.photos.vocabulary import tag_matrix
from volumen.settings.command import command_line

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
SMALL = {
    "encoder_name": "tu-test_resnet",
    "size": 64,
    "batch": 8,
    "epochs": 1,
    "pretrain_epochs": 1,
    "segment_epochs": 1,
    "decoder_width": 32,
    "held_out_share": 0.25,
    "alike": 0.6,
    "unlike": 0.3,
    "seeds": 1,
    "resamples": 50,
    "neighbours": 3,
    "examples": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Write 32 photographs with bars of tagged colours, and masks of these."""
    folder = tmp_path_factory.mktemp("photos")
    rng, rows = np.random.default_rng(0), ["image,mask,labels"]
    for number in range(32):
        image, mask = Image.fromarray(rng.integers(90, 130, (48, 40, 3), dtype=np.uint8)), Image.new("L", (40, 48))
        for index, colour in enumerate(COLOURS.values(), start=1):
            if number >> (index - 1) & 1:
                box = (int(x := rng.integers(0, 30)), 4, int(x) + 9, 43)
                ImageDraw.Draw(image).rectangle(box, fill=colour)
                ImageDraw.Draw(mask).rectangle(box, fill=index)
        chosen = [name for index, name in enumerate(COLOURS) if number >> index & 1]
        image.save(folder / f"{number:02}.png")
        mask.save(folder / f"m{number:02}.png")
        rows.append(f"{number:02}.png,m{number:02}.png,{'|'.join(['skin', *chosen])}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def chosen(photos, out, **changes):
    return settings.CompareApparel(photos=(str(photos),), out=str(out), **{**SMALL, **changes})


@pytest.fixture(scope="module")
def compared(photos):
    out = photos.parent / "compared"
    return out, list(compare(chosen(photos, out)))


def test_every_route_is_trained_and_every_encoder_asked(compared):
    out, events = compared
    routes = ("scratch-plain", "scratch", "rotation", "spark", "triplet", "triplet-scratch", "finetuned-rotation")
    for route in (*routes, "finetuned-spark", "segmenter"):
        assert [path.name for path in sorted((out / "runs" / route).iterdir())] == ["seed0"]
    assert not (out / "runs" / "finetuned-imagenet").exists()
    asked = {path.name for path in (out / "found").iterdir()}
    assert asked == {"random", *routes, "finetuned-spark"}
    assert all(len(list((out / "found" / name).iterdir())) == 2 for name in asked)  # whole and masked
    assert events[-1].result["runs"] == 9
    starts = json.loads((out / "runs/finetuned-rotation/seed0/recipe.json").read_text())["settings"]["encoder"]
    assert starts == str(out / "runs/rotation/seed0/best.safetensors")


def test_tables_hold_the_numbers_of_the_runs(photos, compared):
    out, events = compared
    with open(out / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = {(row["cell"], row["minus"], row["score"]): row for row in rows}
    said, other = (read_said(out / f"runs/{route}/seed0/tags.csv") for route in ("scratch", "scratch-plain"))
    f1, plain = (score_tags(each.said, each.truth)["f1"] for each in (said, other))
    assert float(values["scratch", "", "f1"]["mean"]) == pytest.approx(f1, abs=1e-5)
    gap = values["scratch", "scratch-plain", "f1"]
    assert float(gap["mean"]) == pytest.approx(f1 - plain, abs=1e-5)
    assert float(gap["low_photos"]) <= float(gap["mean"]) <= float(gap["high_photos"])
    found = np.nanmean(Answers.read(out / "found/scratch/seed0-masked.npz").overlap)
    assert float(values["scratch", "", "overlap_masked"]["mean"]) == pytest.approx(found, abs=1e-5)
    held = events[-1].result["found"]
    asked = {path.name for path in (out / "found").iterdir()}
    assert {row["cell"] for row in held if row["score"] == "masking"} == asked
    chance = next(row for row in held if row["cell"] == "chance" and row["score"] == "overlap")
    known = ApparelPhotos.of(chosen(photos, out))
    tags = [tag_matrix(part, known.tags).numpy() for part in (known.queries, known.index)]
    assert chance["mean"] == pytest.approx(np.nanmean(chance_overlap(*tags)))


def test_what_was_found_is_nearest_and_its_overlap_that_of_the_tags(photos, compared):
    out, _ = compared
    given = chosen(photos, out)
    known = ApparelPhotos.of(given)
    assert known.tags == ("blue", "green", "red")  # skin is no apparel
    found = Answers.read(out / "found/spark/seed0-whole.npz")
    names = [photo.name for photo in known.index]
    rows = np.array([[names.index(name) for name in line] for line in found.found])
    assert not {*found.names} & {*names}
    cell = next(cell for cell in cells_of(given) if cell.name == "spark")
    fabric = Fabric(accelerator="cpu")
    look = embedder_of(cell, given, 0, known.dataset(known.index, given), fabric)
    with torch.inference_mode():
        index, queries = (
            torch.cat([look(each["image"]) for each in known.dataset(part, given).in_order(8)])
            for part in (known.index, known.queries)
        )
    nearer = torch.cosine_similarity(queries[:, None], index[None], dim=2).sort(dim=1, descending=True).values
    likeness = torch.cosine_similarity(queries[:, None], index[torch.from_numpy(rows)], dim=2)
    assert torch.allclose(likeness, nearer[:, : given.neighbours], atol=1e-5)
    asked = {photo.name: photo for photo in known.queries}
    overlap = retrieval_overlap(
        tag_matrix([asked[name] for name in found.names], known.tags).numpy(),
        tag_matrix(known.index, known.tags).numpy(),
        rows,
    )
    assert found.overlap == pytest.approx(overlap, nan_ok=True)


def test_the_page_says_what_is_missing_and_shows_what_was_found(compared):
    out, _ = compared
    page, table = (out / "report.html").read_text(), (out / "table.md").read_text()
    assert "no ImageNet file given" in page
    assert "| finetuned-imagenet | no ImageNet file given" in table
    assert "0.77" in table  # the document's number stands beside
    assert "masked minus whole" in table
    assert len(list((out / "sheets").glob("*.png"))) == 18
    with Image.open(out / "sheets/random-whole.png") as sheet:
        assert sheet.height == 2 * (128 + 14 + 6)
    assert 'href="http' not in page


def test_a_comparison_goes_on_where_it_was_stopped(photos, tmp_path):
    few = {"routes": "scratch", "seeds": 2}
    whole = result(compare(chosen(photos, tmp_path / "whole", **few)))
    out = tmp_path / "parts"
    for event in compare(chosen(photos, out, **few)):
        if isinstance(event, Stepped) and (event.total, event.done) == (4, 2):  # encoders, of the first seed
            break
    first = out / "found/random/seed0-whole.npz"
    made = first.stat().st_mtime_ns
    assert not (out / "found/random/seed1-whole.npz").exists()
    done = result(compare(chosen(photos, out, **few)))
    assert first.stat().st_mtime_ns == made
    for kind in ("scores", "differences", "found"):
        assert repr(whole[kind]) == repr(done[kind])
    with pytest.raises(SettingsError, match="epochs was 1, now 2"):
        result(compare(chosen(photos, out, **few, epochs=2)))


def test_a_comparison_that_was_moved_goes_on(photos, compared, tmp_path):
    out, events = compared
    shutil.copytree(out, tmp_path / "moved")
    again = list(compare(chosen(photos, tmp_path / "moved")))
    assert not [event for event in again if isinstance(event, Scored)]  # nothing is trained anew
    assert repr(again[-1].result["scores"]) == repr(events[-1].result["scores"])
    other = tmp_path / "moved/runs/rotation/seed0/best.safetensors"
    other.write_bytes((out / "runs/scratch/seed0/best.safetensors").read_bytes())
    with pytest.raises(SettingsError, match=r"encoder was .*rotation"):
        list(compare(chosen(photos, tmp_path / "moved")))


def test_more_seeds_may_follow(photos, tmp_path):
    few = {"routes": "scratch"}
    whole = result(compare(chosen(photos, tmp_path / "whole", **few, seeds=2)))
    out = tmp_path / "more"
    result(compare(chosen(photos, out, **few, seeds=1)))
    first = out / "runs/scratch/seed0/best.safetensors"
    made = first.stat().st_mtime_ns
    more = result(compare(chosen(photos, out, **few, seeds=2)))
    assert first.stat().st_mtime_ns == made
    for kind in ("scores", "differences", "found"):
        assert repr(whole[kind]) == repr(more[kind])
    assert json.loads((out / "comparison.json").read_text())["settings"]["seeds"] == 2
    with pytest.raises(SettingsError, match="seeds was 2, now 1"):
        result(compare(chosen(photos, out, **few, seeds=1)))


def test_an_imagenet_file_brings_its_rows_and_starts_what_the_document_starts_from_it(photos, tmp_path):
    model = build_photo_encoder("tu-test_resnet", 1)
    save_file(model.encoder.state_dict(), tmp_path / "imagenet.safetensors")
    given = chosen(photos, tmp_path / "out", imagenet=str(tmp_path / "imagenet.safetensors"))
    assert lacking(given) == ()
    starts = {cell.name: cell.start for cell in (*cells_of(given), *untrained_of(given))}
    assert {name for name, start in starts.items() if start == "imagenet"} == {
        "rotation",
        "triplet",
        "segmenter",
        "finetuned-imagenet",
        "imagenet",
    }
    assert starts["scratch"] == starts["spark"] == "random"
    found = result(compare(given.model_copy(update={"routes": ("finetuned-imagenet",), "seeds": 1})))
    assert {row["cell"] for row in found["found"]} == {"random", "imagenet", "finetuned-imagenet", "chance"}
    assert all(row["score"] == "overlap" for row in found["found"])  # without a segmenter nothing is masked


def test_what_other_weights_found_is_found_anew(photos, tmp_path):
    few = {"routes": "scratch,segmenter"}
    result(compare(chosen(photos, tmp_path, **few)))
    former = {
        path: path.stat().st_mtime_ns for path in (*tmp_path.glob("found/*/*.npz"), *tmp_path.glob("foreground/*.npz"))
    }
    assert len(former) == 6  # of random and scratch, whole and masked, and two of foregrounds
    weights = tmp_path / "runs/segmenter/seed0/best.safetensors"
    with safe_open(weights, "pt") as held:
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 (it is no dictionary)
        header = held.metadata()
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, weights, header)
    result(compare(chosen(photos, tmp_path, **few)))
    anew = {str(path.relative_to(tmp_path)) for path, made in former.items() if path.stat().st_mtime_ns != made}
    masked = {f"found/{name}/seed0-masked.npz" for name in ("random", "scratch")}
    assert anew == {*masked, "foreground/seed0-index.npz", "foreground/seed0-queries.npz"}


def test_without_masks_nothing_is_begun(photos, tmp_path):
    rows = list(csv.reader((photos.parent / "labels.csv").read_text().splitlines()))
    table = photos.parent / "bare.csv"
    table.write_text("".join(f"{image},{labels}\n" for image, _, labels in rows))
    with pytest.raises(LabelError, match=r"without polygons or mask.* leave it out \(--routes scratch\)"):
        result(compare(chosen(table, tmp_path / "out", routes="scratch,segmenter")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(LabelError, match="None of 8 held-out photographs has, in a batch of 2"):
        result(compare(chosen(table, tmp_path / "out", routes="triplet", batch=2)))
    assert not (tmp_path / "out").exists()


def test_of_what_saw_no_tags_the_two_deepest_maps_are_asked(photos, compared):
    given = chosen(photos, compared[0])
    known = ApparelPhotos.of(given)
    index, fabric = known.dataset(known.index, given), Fabric(accelerator="cpu")
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        lengths = {
            cell.name: embedder_of(cell, given, 0, index, fabric)(image).shape[1]
            for cell in (*cells_of(given), *untrained_of(given))
            if cell.name in ("rotation", "spark", "random", "scratch", "triplet")
        }
    channels = build_photo_encoder(given.encoder_name, 1).encoder.out_channels
    pair, deepest = sum(channels[-2:]), channels[-1]
    assert lengths == {
        "rotation": pair,
        "spark": pair,
        "random": pair,
        "scratch": deepest,
        "triplet": given.embedding,
    }


def shown(**images):
    """Stand for a dataset of images, each named by its tag."""
    known = [SimpleNamespace(name=name, tags=(name[0],)) for name in images]
    rows = torch.tensor([*map(list, images.values())], dtype=torch.float32)
    batches = [{"image": rows, "photo": torch.arange(len(rows))}]
    return SimpleNamespace(photos=known, tags=("a", "b"), in_order=lambda _: batches)


def test_vectors_are_compared_by_their_directions():
    index = shown(a=(30, 1), b=(1, 2))
    queries = shown(a1=(1, 0), b1=(2, 30))
    fabric = Fabric(accelerator="cpu")
    found = find(lambda image: image, index, queries, None, k=1, batch=2, fabric=fabric, made_by="hand")
    assert found.found.tolist() == [["a"], ["b"]]  # (1, 0) lies nearer to (1, 2), and points where (30, 1) does
    assert found.overlap.tolist() == [1, 1]


def test_the_background_of_both_is_taken_away_before_they_are_looked_at():
    images = {"a": [[[1.0, 0.0, 9.0]]], "b": [[[0.0, 1.0, 9.0]]]}  # CHW; the last pixel is background
    index, queries = shown(**images), shown(b1=[[[9.0, 1.0, 0.0]]], a1=[[[1.0, 9.0, 0.0]]])  # there the nines are
    seen = [[[1, 1, 0], [1, 1, 0]], [[0, 1, 1], [1, 0, 1]]]
    grounds = [Foreground(packed=np.packbits(np.array(rows, bool), axis=1), size=(1, 3)) for rows in seen]
    given = {"k": 1, "batch": 2, "fabric": Fabric(accelerator="cpu"), "made_by": "hand"}
    masked = find(lambda image: image.flatten(1), index, queries, tuple(grounds), **given)
    assert masked.found.tolist() == [["b"], ["a"]]
    whole = find(lambda image: image.flatten(1), index, queries, None, **given)
    assert whole.found.tolist() == [["a"], ["b"]]


def test_foregrounds_are_what_the_model_says_of_each_photograph(photos, compared):
    out, _ = compared
    weights, given = out / "runs/segmenter/seed0/best.safetensors", chosen(photos, out)
    known = ApparelPhotos.of(given)
    queries, fabric = known.dataset(known.queries, given), Fabric(accelerator="cpu")
    ground = Foreground.predict(weights, queries, batch=3, fabric=fabric)
    model, _ = load_checkpoint(weights)
    for row in (0, 5):
        with torch.inference_mode():
            likely = torch.sigmoid(model(queries[row]["image"][None]))
        assert torch.equal(ground.of(torch.tensor([row])), likely >= 0.5)


def test_foregrounds_are_kept_bit_by_bit(tmp_path):
    bits = np.random.default_rng(0).random((3, 5 * 7)) < 0.4
    ground = Foreground(packed=np.packbits(bits, axis=1), size=(5, 7))
    masks = ground.of(torch.tensor([2, 0]))
    assert masks.shape == (2, 1, 5, 7)
    assert np.array_equal(masks.numpy().reshape(2, -1), bits[[2, 0]])
    assert ground.share == pytest.approx(bits.mean())


def test_differences_of_two_searches_are_paired_query_by_query():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    hard[3] = np.nan
    names = tuple(map(str, range(200)))
    good, bad = (ApparelCell(name=name, work="nothing") for name in ("good", "bad"))
    finds = {
        cell: (Answers(names=names, found=np.empty((200, 0), str), overlap=values, made_by="hand"),)
        for cell, values in ((bad, hard), (good, hard + 0.02 + rng.normal(0, 0.01, 200)))
    }
    rows = retrieval_rows(finds, {}, np.full(200, 0.1), resamples=200)
    gap = next(row for row in rows if row.cell == good and row.than == bad)
    assert gap.estimate.mean == pytest.approx(0.02, abs=0.003)
    assert drawn_verdict(gap) == "holds"  # though either mean is known ten times worse
    alone = next(row for row in rows if row.cell == good and row.than is None)
    assert alone.drawn[1] - alone.drawn[0] > 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"routes": "finetuned-spark"}, "starts from spark"),
        ({"routes": "scratch,scratch"}, "given once"),
        ({"size": 48}, "multiples of 32"),
        ({"size": (64, 96)}, "square"),
        ({"size": 32}, "two patches"),
        ({"devices": 2}, "one after another; give devices and num_nodes 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words, photos, tmp_path):
    with pytest.raises(ValidationError, match=words):
        chosen(photos, tmp_path, **changes)


def test_settings_are_written_as_a_command_line():
    given = settings.CompareApparel(photos=("labels.csv",), out="out", routes="scratch,rotation", drop_tags="hat")
    words = command_line("compare apparel", given)
    assert words[:3] == ["compare", "apparel", "labels.csv"]
    assert "scratch,rotation" in words
    assert "hat" in words
