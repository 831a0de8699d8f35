"""An index of windows and searching it: what is kept, what goes on, what is found."""

import csv
import json
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from volumen import settings
from volumen.errors import CheckpointError, DivergedError, OutputExistsError, SettingsError, SourceNotFoundError
from volumen.evaluation.scaled import ScaledRows
from volumen.events import Started, Stepped, Warned, result
from volumen.models.checkpoint import save_encoder
from volumen.models.pooled import load_pooled
from volumen.models.unet import build_encoder
from volumen.recipes.finding.found import Found, write_found
from volumen.recipes.finding.index import index
from volumen.recipes.finding.search import _typical_distance as typical_distance
from volumen.recipes.finding.search import search, shared
from volumen.sources.index.index_part import IndexPart
from volumen.sources.index.window_index import WindowIndex
from volumen.whole_files import draft_name

SHAPE = (10, 320, 384)
COPIES = 14


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Write papyrus-like noise with copies of one mark, as many of another, a mask without the left end; an encoder."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    voxels = rng.integers(90, 130, SHAPE, np.uint8)
    cells = [(y, x) for y in range(14, 280, 48) for x in range(78, 340, 48)]  # all alike on the grid of windows
    order = rng.permutation(len(cells))
    places = {"cross": [], "ring": []}
    yy, xx = np.mgrid[-18:18, -18:18]
    shapes = {"cross": (abs(yy) < 4) | (abs(xx) < 4), "ring": abs(np.hypot(yy, xx) - 13) < 3}
    for number, cell in enumerate(order[: 2 * COPIES]):
        kind = ("cross", "ring")[number % 2]
        y, x = cells[cell]
        voxels[3:7, y : y + 36, x : x + 36] += (60 * shapes[kind]).astype(np.uint8)
        places[kind].append((y + 18, x + 18))
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[:, 64:] = 255
    np.save(folder / "seg.npy", voxels)
    Image.fromarray(mask).save(folder / "seg_mask.png")
    np.save(folder / "more.npy", voxels[:, :128, 64:224])
    torch.manual_seed(0)
    save_encoder(
        folder / "encoder.safetensors",
        build_encoder("resnet18", 4),
        {"encoder_name": "resnet18", "in_channels": 4},
        {"pretext": "spark", "layer_count": 4},
    )
    (folder / "places.json").write_text(json.dumps(places))
    return folder


def chosen(data, out, *names, **changes):
    fields = {"window": 32, "stride": 16, "stage": 3, "device": "cpu", "normalization": "divide", **changes}
    paths = tuple(str(data / f"{name}.npy") for name in names or ("seg",))
    return settings.Index(
        **{"segments": paths, "encoder": str(data / "encoder.safetensors"), "out": str(out), **fields}
    )


@pytest.fixture(scope="module")
def made(data):
    result(index(chosen(data, data / "index")))
    return data / "index"


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_window_on_papyrus_is_indexed_and_no_other(made):
    (part,) = WindowIndex.open(made).parts
    wanted = {(y, x) for y in range(0, 289, 16) for x in range(64, 353, 16)}
    assert {tuple(corner) for corner in part.corners.tolist()} == wanted
    assert part.vectors.shape == (len(wanted), 128)
    assert part.vectors.dtype == np.float16
    assert part.job["layers"] == [3, 7]


def test_a_vector_is_the_pooled_map_of_its_window_alone(made, data):
    (part,) = WindowIndex.open(made).parts
    pooled, _ = load_pooled(made / "encoder.safetensors", stage=3)
    voxels = np.load(data / "seg.npy")
    for row in (0, 57, len(part.corners) - 1):
        y, x = part.corners[row]
        image = torch.from_numpy(voxels[3:7, y : y + 32, x : x + 32].astype(np.float32) / 255)[None]
        with torch.inference_mode():
            vector = pooled.encoder(image)[3].mean(dim=(2, 3))[0].numpy()
        np.testing.assert_allclose(part.vectors[row], vector, rtol=2e-3, atol=2e-3)


def test_norms_are_measured_on_the_device_that_is_asked_for(data, tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def seen(encoder, inputs):
        assert next(encoder.parameters()).device.type == next(iter(inputs))[0].device.type == "meta"
        raise Seen

    monkeypatch.setattr("volumen.recipes.finding.embedding.measure_norms", seen)
    monkeypatch.setattr("volumen.recipes.finding.embedding.pick_device", {"cpu": "meta"}.__getitem__)
    with pytest.raises(Seen):
        result(index(chosen(data, tmp_path / "index", norms="measured")))


def test_the_same_segment_again_adds_nothing_and_another_adds_its_own(data, tmp_path):
    out = tmp_path / "index"
    first = result(index(chosen(data, out)))
    before = files(out)
    again = result(index(chosen(data, out)))
    assert (first["added"], again["added"], again["windows"]) == (first["windows"], 0, first["windows"])
    assert files(out) == before
    second = result(index(chosen(data, out, "seg", "more", mask=())))
    assert second["added"] == 63 == second["segments"]["more"]
    assert {name: content for name, content in files(out).items() if name in before} == before
    together = WindowIndex.open(out)
    assert together.vectors.shape[0] == first["windows"] + 63
    assert together.find(first["windows"] + 5)[0].name == "more"
    # the second segment is a cut of the first: what lies on both grids looks the same
    near = {(int(y), int(x)): row for row, (y, x) in enumerate(together.parts[0].corners)}
    for row, (y, x) in enumerate(together.parts[1].corners):
        other = near[(int(y), int(x) + 64)]
        np.testing.assert_allclose(together.parts[1].vectors[row], together.parts[0].vectors[other], atol=5e-3)


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(data, made, tmp_path, stop):
    out = tmp_path / "index"
    events = index(chosen(data, out))
    for _ in range(1 + stop):
        next(events)
    events.close()
    assert not WindowIndex.open(out).parts  # what is not finished is not searched
    rest = list(index(chosen(data, out)))
    started = next(event for event in rest if isinstance(event, Started))
    assert started.detail["done"] == 32 * stop
    first = next(event for event in rest if isinstance(event, Stepped))
    assert first.done == 32 * (stop + 1)
    here, there = files(out), files(made)
    assert {
        name.split("/")[-1]: content for name, content in here.items() if "vectors" in name or "windows" in name
    } == {name.split("/")[-1]: content for name, content in there.items() if "vectors" in name or "windows" in name}
    assert not list((out / "parts").glob("*.unfinished"))


def test_a_part_that_was_only_being_laid_out_is_laid_out_again(data, made, tmp_path):
    shutil.copytree(made, out := tmp_path / "index")
    (part,) = (out / "parts").iterdir()
    part.rename(out / "parts" / f".{part.name}.unfinished")
    (out / "parts" / f".{part.name}.unfinished" / "job.json").unlink()
    result(index(chosen(data, out)))
    assert [each.name for each in (out / "parts").iterdir()] == [part.name]
    assert (out / "parts" / part.name / "vectors.npy").read_bytes() == (
        made / "parts" / part.name / "vectors.npy"
    ).read_bytes()


def test_an_index_is_never_mixed_of_two_encoders_or_two_states_of_a_segment(data, made, tmp_path):
    with pytest.raises(SettingsError, match="stage was 3, now 4"):
        result(index(chosen(data, made, stage=4)))
    with pytest.raises(SettingsError, match=r"fitted was \['divide', .*now \['percentile'"):
        result(index(chosen(data, made, "seg", "more", normalization="percentile")))
    whole = tmp_path / "other_mask.png"
    Image.fromarray(np.full(SHAPE[1:], 255, np.uint8)).save(whole)
    with pytest.raises(SettingsError, match="other mask"):
        result(index(chosen(data, made, mask=(str(whole),))))
    other = tmp_path / "other.safetensors"
    save_encoder(
        other, build_encoder("resnet18", 4), {"encoder_name": "resnet18", "in_channels": 4}, {"layer_count": 4}
    )
    with pytest.raises(SettingsError, match="digest was"):
        result(index(chosen(data, made, encoder=str(other))))


def test_overwrite_replaces_an_index_and_nothing_else(data, made, tmp_path):
    out = tmp_path / "index"
    shutil.copytree(made, out)
    fresh = result(index(chosen(data, out, stage=2, overwrite=True)))
    assert fresh["added"] == fresh["windows"]
    assert WindowIndex.open(out).embedding["stage"] == 2
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    with pytest.raises(OutputExistsError, match="no index"):
        result(index(chosen(data, mine, overwrite=True)))
    assert (mine / "thesis.txt").exists()


def test_regions_are_parts_of_their_own(data, tmp_path):
    out = tmp_path / "index"
    for region in ("0:64,64:128", "128:192,64:128", "0:64,64:128"):
        result(index(chosen(data, out, region=region)))
    assert [len(part.corners) for part in WindowIndex.open(out).parts] == [9, 9]
    with pytest.raises(SettingsError, match=r"Expected a region inside .*got 0:64,64:9999"):
        result(index(chosen(data, out, region="0:64,64:9999")))


def test_vectors_that_do_not_fit_their_type_are_refused(data, tmp_path):
    out = tmp_path / "index"
    events = index(chosen(data, out))
    next(events)
    events.close()
    folder = next((out / "parts").glob("*.unfinished"))
    part = IndexPart.open(folder)
    with pytest.raises(DivergedError, match="float32"):
        part.write(part.todo()[0], np.full((32, 128), 1e6, np.float32))
    assert part.todo()[0].start == 0


def test_a_batch_that_the_disk_takes_a_part_of_is_not_done(data, tmp_path):
    resource = pytest.importorskip("resource")
    out = tmp_path / "index"
    events = index(chosen(data, out))
    next(events)
    events.close()
    part = IndexPart.open(next((out / "parts").glob("*.unfinished")))
    rows = part.todo()[0]
    vectors = np.ones((len(rows), 128), np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
        with pytest.raises(OSError, match="too large"):
            part.write(rows, vectors)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert part.todo()[0] == rows
    part.write(rows, vectors)
    assert (part.vectors[rows.start : rows.stop] == 1).all()


@pytest.mark.parametrize("kind", ["cross", "ring"])
def test_one_click_finds_the_other_copies(data, made, kind):
    places = json.loads((data / "places.json").read_text())
    (y, x), *others = places[kind]
    found = result(search(settings.Search(index=str(made), at=(f"seg:{y},{x}",), k=8)))["places"]
    hits = [min(abs(p["y"] - v) + abs(p["x"] - w) for v, w in others) < 16 for p in found]
    assert np.mean(hits) >= 0.8
    scores = [place["scores"]["score"] for place in found]
    assert scores == sorted(scores, reverse=True)


def test_no_two_places_overlap_and_none_the_given_one(data, made):
    y, x = json.loads((data / "places.json").read_text())["cross"][0]
    told = result(search(settings.Search(index=str(made), at=(f"seg:{y},{x}", "seg:300,200"), k=20, overlap=0)))
    boxes = [place["box"] for place in told["places"] + told["given"]]
    assert len(told["places"]) == 20
    for number, (a0, a1, b0, b1) in enumerate(boxes[:20]):
        for c0, c1, d0, d1 in boxes[number + 1 :]:
            assert min(a1, c1) <= max(a0, c0) or min(b1, d1) <= max(b0, d0)


def test_the_greedy_order_is_that_of_looking_at_every_window(data, made):
    """Compare with sorting everything and dropping what overlaps."""
    y, x = json.loads((data / "places.json").read_text())["ring"][1]
    told = result(
        search(settings.Search(index=str(made), at=(f"seg:{y},{x}",), k=12, overlap=0.25, comparison="plain"))
    )
    (part,) = WindowIndex.open(made).parts
    own = int(np.abs(part.corners + 15.5 - (y, x)).max(axis=1).argmin())
    vectors = part.vectors.astype(np.float64)
    order = np.argsort(((vectors - vectors[own]) ** 2).sum(axis=1), kind="stable")
    kept = [own]
    for row in order:
        steps = np.abs(part.corners[kept] - part.corners[row])
        area = np.clip(32 - steps[:, 0], 0, None) * np.clip(32 - steps[:, 1], 0, None)
        if (area <= 0.25 * 32 * 32).all():
            kept.append(int(row))
        if len(kept) == 13:
            break
    assert [place["box"][::2] for place in told["places"]] == part.corners[kept[1:]].tolist()


def test_the_typical_distance_is_the_median_of_the_distances_from_the_nearest_query():
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(500, 256)), rng.normal(size=(24, 256))
    scaled = ScaledRows.of(rows, "plain")
    distances = np.sqrt(np.square(rows[:, None] - queries[None]).sum(axis=2)).min(axis=1)
    tracemalloc.start()
    assert typical_distance(scaled, queries) == np.median(distances)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(queries) * rows.nbytes


def test_more_than_there_is_gives_all_there_is_and_says_so(data, tmp_path):
    out = tmp_path / "index"
    result(index(chosen(data, out, region="0:96,64:192")))
    events = list(search(settings.Search(index=str(out), at=("seg:20,100",), k=500, overlap=0)))
    assert any(isinstance(event, Warned) and "only" in event.message for event in events)
    assert 3 <= len(events[-1].result["places"]) < 12


def test_what_was_found_is_written_for_people_and_programs(data, made, tmp_path):
    out = tmp_path / "found"
    chose = settings.Search(index=str(made), at=("seg:100,200",), k=5, out=str(out))
    told = result(search(chose))
    collection = json.loads((out / "places.json").read_text())
    rows = list(csv.DictReader((out / "places.csv").read_text().splitlines()))
    for place, feature, row in zip(told["places"], collection["features"], rows, strict=True):
        y0, y1, x0, x1 = place["box"]
        assert feature["geometry"]["coordinates"][0] == [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        assert feature["properties"]["score"] == place["scores"]["score"] == float(row["score"])
        assert [int(row[name]) for name in ("y0", "y1", "x0", "x1")] == place["box"]
    sheet = np.asarray(Image.open(out / "sheet.png"))
    assert sheet.shape[2] == 3
    assert len(np.unique(sheet)) > 50
    with pytest.raises(OutputExistsError, match="--overwrite"):
        result(search(chose))
    (out / draft_name("places.json")).write_text("half")  # of a kill
    result(search(chose.model_copy(update={"overwrite": True})))
    assert not list(out.glob(".*"))
    with pytest.raises(SettingsError, match="no indexed window"):
        result(search(chose.model_copy(update={"at": (("seg", 9999, 10),), "overwrite": True})))
    assert (out / "places.csv").exists()  # nothing to put in its place
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"notes\.txt"):
        result(search(chose.model_copy(update={"overwrite": True})))


def test_a_score_that_is_unknown_is_null_as_json_has_it(tmp_path):
    place = Found(rank=1, segment="s", source="s.zarr", box=(0, 32, 0, 32), scores={"score": 0.5, "novelty": np.nan})
    write_found(tmp_path, "suggestions", [place], None, {"threshold": np.inf})
    strict = json.JSONDecoder(parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    told = strict.decode((tmp_path / "suggestions.json").read_text())
    assert told["features"][0]["properties"]["novelty"] is None
    assert told["volumen"] == {"threshold": None}


def test_a_segment_that_is_gone_costs_only_the_sheet(data, made, tmp_path):
    moved = tmp_path / "index"
    shutil.copytree(made, moved)
    job = next(moved.glob("parts/*/job.json"))
    job.write_text(job.read_text().replace("seg.npy", "gone.npy"))
    out = tmp_path / "found"
    events = list(search(settings.Search(index=str(moved), at=("seg:100,200",), k=3, out=str(out))))
    assert any(isinstance(event, Warned) and "contact sheet" in event.message for event in events)
    assert (out / "places.csv").exists()
    assert not (out / "sheet.png").exists()


def test_places_outside_the_index_are_refused(made, tmp_path):
    with pytest.raises(SettingsError, match="no indexed window around seg:20,10"):
        result(search(settings.Search(index=str(made), at=("seg:20,10",))))
    with pytest.raises(SettingsError, match="holds seg"):
        result(search(settings.Search(index=str(made), at=("other:20,100",))))
    with pytest.raises(SourceNotFoundError):
        result(search(settings.Search(index=str(tmp_path), at=("seg:20,100",))))


def test_weights_that_are_no_encoder_of_images_are_refused(data, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(CheckpointError, match="--encoder-name"):
        result(index(chosen(data, tmp_path / "index", encoder=str(foreign))))
    save_file(build_encoder("resnet18", 4).state_dict(), foreign)
    told = result(index(chosen(data, tmp_path / "index", encoder=str(foreign), encoder_name="resnet18", layers=4)))
    assert told["added"] > 0


def test_what_two_squares_share():
    def place(y, x, segment="a"):
        return Found(rank=1, segment=segment, source="", box=(y, y + 10, x, x + 10), scores={})

    assert shared(place(0, 0), place(5, 0)) == 0.5
    assert shared(place(0, 0), place(5, 5)) == 0.25
    assert shared(place(0, 0), place(10, 0)) == 0
    assert shared(place(0, 0), place(0, 0, "b")) == 0
