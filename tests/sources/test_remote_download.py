"""Segments from servers of every layout: what comes opens as it is, and is the same after any weather."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from remote_layouts import (
    CORPUS,
    DEPTH,
    DEV,
    ID,
    INK,
    LAYOUTS,
    PATHS,
    SURFACE,
    VOLUME,
    lay_corpus,
    lay_dev_zarr,
    lay_volpkg,
    save_ome,
)

from http_server import Fault, serving
from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.events import Finished, Saved, Started, Stepped, Warned, result
from volumen.settings import Download
from volumen.sources.open import open_segment
from volumen.sources.remote import client as client_module
from volumen.sources.remote import licence
from volumen.sources.remote.download import download
from volumen.sources.remote.retry import Patience


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    patience = Patience(first_s=0.01, longest_s=0.02, total_s=5.0)
    monkeypatch.setattr(client_module, "Patience", lambda: patience)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


def bring(server, tmp_path, layout="auto", **more):
    return result(download(settings(server, tmp_path, layout, **more)))


def settings(server, tmp_path, layout="auto", segments=(ID,), **more):
    return Download(segments=segments, to=str(tmp_path / "here"), host=server.url, layout=layout, **more)


def check(path, layout):
    """Compare what came with what was served, voxel by voxel."""
    segment = open_segment(path)
    expected = VOLUME.astype(np.uint16) << 8 if layout == "volpkg" else VOLUME
    np.testing.assert_array_equal(segment.read(segment.window), expected)
    assert segment.voxel_um == (7.91 if layout == "volpkg" else 1.0)
    if layout in ("dev-zarr", "ink-corpus"):
        np.testing.assert_array_equal(segment.raster("ink").pixels[:, :], INK)
    assert (segment.mask is not None) == (layout in ("volpkg", "dev-zarr"))
    assert (segment.supervision is not None) == (layout == "ink-corpus")


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_in(folder):
    ours = ("provenance.json", "download.jsonl", "LICENCE.txt")
    return {name: data for name, data in files_in(folder).items() if name.rpartition("/")[2] not in ours}


@pytest.mark.parametrize("listing", [False, True], ids=["unlisted", "listed"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_opens_as_it_comes(root, tmp_path, layout, listing):
    LAYOUTS[layout](root)
    with serving(root, listing=listing, missing=404 if listing else 403) as server:
        told = bring(server, tmp_path, layout)
        assert server.most_at_once <= 4
        asked = sum(server.requests.values())
        before = data_in(tmp_path / "here")
        assert bring(server, tmp_path, layout)["paths"] == told["paths"]
        if layout != "open-data":  # whose folder's name the catalogue must tell
            assert sum(server.requests.values()) == asked
        assert data_in(tmp_path / "here") == before
    check(told["paths"][0], layout)
    assert told["files"] > DEPTH
    assert told["megabytes"] > 0
    (folder,) = (tmp_path / "here").iterdir()
    assert "NonCommercial" in (folder / "LICENCE.txt").read_text()
    story = json.loads((folder / "provenance.json").read_text())
    assert (story["layout"], story["base"]) == (layout, server.url)
    assert all(each["size"] and each["etag"] for each in story["named"])
    assert not [name for name in files_in(folder) if ".part" in name]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_segment_is_found_without_saying_the_layout(root, tmp_path, layout):
    LAYOUTS[layout](root)
    with serving(root) as server:
        check(bring(server, tmp_path)["paths"][0], layout)


def test_marks_that_no_text_has_are_kept_as_they_can_be(root, tmp_path):
    LAYOUTS["dev-zarr"](root)
    with serving(root, etag="latin") as server:
        bring(server, tmp_path, "dev-zarr")
        story = json.loads((tmp_path / "here" / ID / "provenance.json").read_text())
        assert all(each["etag"].startswith('"\\udce9') for each in story["named"])
        server.forget()
        bring(server, tmp_path, "dev-zarr")
        assert not server.requests


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bad_weather_changes_nothing(root, tmp_path, layout, seed):
    LAYOUTS[layout](root)
    with serving(root) as server:
        bring(server, tmp_path / "calm", layout)
        calm = dict(server.requests)
        server.forget()
        server.storm(seed, 0.3)
        bring(server, tmp_path / "storm", layout, at_once=3)
        assert server.most_at_once <= 3
        assert all(count <= 3 * calm[path] for path, count in server.requests.items())  # two bad answers in a row
    assert data_in(tmp_path / "storm") == data_in(tmp_path / "calm")


def test_a_superseded_segment_comes_under_its_bare_name(root, tmp_path):
    lay_volpkg(root, "_superseded")
    with serving(root) as server:
        for name in (ID, f"{ID}_superseded"):
            (path,) = bring(server, tmp_path / name, "volpkg", segments=(name,))["paths"]
            check(path, "volpkg")
            assert path.endswith(f"/{ID}")


@pytest.mark.parametrize("listing", [False, True])
def test_only_the_layers_asked_for_are_fetched(root, tmp_path, listing):
    lay_volpkg(root)
    with serving(root, listing=listing) as server:
        (path,) = bring(server, tmp_path, "volpkg", layers="3:8")["paths"]
        fetched = [where for how, where, _ in server.log if how == "GET" and where.endswith(".tif")]
        assert sorted(fetched) == [f"/{PATHS}/{ID}/layers/{index:02}.tif" for index in range(3, 8)]
        np.testing.assert_array_equal(
            open_segment(path).read(open_segment(path).window), VOLUME[3:8].astype(np.uint16) << 8
        )
        server.forget()
        bring(server, tmp_path, "volpkg", layers="2:8")  # more of the same: only what is new
        fetched = [where for how, where, _ in server.log if how == "GET" and where.endswith(".tif")]
        assert fetched == [f"/{PATHS}/{ID}/layers/02.tif"]
        with pytest.raises(SettingsError, match="zarr only"):
            bring(server, tmp_path / "b", "volpkg", region="0:9,0:9")
        with pytest.raises((SettingsError, SourceError), match="layer"):
            bring(server, tmp_path / "c", "volpkg", layers="9:30")


@pytest.mark.parametrize("layout", ["dev-zarr", "open-data"])
def test_only_the_chunks_that_a_part_touches_are_fetched(root, tmp_path, layout):
    LAYOUTS[layout](root)
    with serving(root) as server:
        events = list(download(settings(server, tmp_path, layout, layers="4:6", region="40:60,0:33")))
        assert any("--layers and --region" in event.message for event in events if isinstance(event, Warned))
        below = f"/{DEV}/{ID}.zarr/" if layout == "dev-zarr" else f"/{SURFACE}/"
        keys = {where.removeprefix(below) for where in server.requests if where.startswith(below)}
        chunks = {key for key in keys if not key.rpartition("/")[2].startswith((".", "zarr"))}
        assert chunks == {"0/1/1/0", "0/1/1/1", "1/1/0/0"}
        segment = open_segment(events[-1].result["paths"][0])
        assert segment.shape == VOLUME.shape
        np.testing.assert_array_equal(segment.levels[0][4:6, 40:60, 0:33], VOLUME[4:6, 40:60, 0:33])
        np.testing.assert_array_equal(segment.levels[1][4:6, 20:30, 0:17], VOLUME[4:6, 40:60:2, 0:33:2])
        with pytest.raises(SettingsError, match="is not inside"):
            bring(server, tmp_path / "b", layout, region="0:97,0:9")


def test_chunks_that_the_server_does_not_have_are_asked_for_once(root, tmp_path):
    VOLUME_WITH_HOLES = VOLUME.copy()
    VOLUME_WITH_HOLES[:4] = 0
    save_ome(root / DEV / f"{ID}.zarr", VOLUME_WITH_HOLES, write_empty=False)
    with serving(root) as server:
        server.fail(f"/{DEV}/{ID}.zarr/0/2/2/2", Fault(status=500), 100)
        with pytest.raises(SourceError, match="0/2/2/2"):
            bring(server, tmp_path, "dev-zarr", at_once=1)
        assert server.requests[f"/{DEV}/{ID}.zarr/0/0/0/0"] == 1
        server.forget()
        told = bring(server, tmp_path, "dev-zarr")
        assert server.requests[f"/{DEV}/{ID}.zarr/0/0/0/0"] == 0
        assert server.requests[f"/{DEV}/{ID}.zarr/0/1/0/0"] == 0
    segment = open_segment(told["paths"][0])
    np.testing.assert_array_equal(segment.read(segment.window), VOLUME_WITH_HOLES)
    assert told["missing"] == {ID: ["ink", "mask"]}
    assert segment.ink is None
    assert segment.mask is None


def test_a_chunk_that_is_refused_once_is_not_empty(root, tmp_path):
    lay_dev_zarr(root)
    with serving(root) as server:
        server.fail(f"/{DEV}/{ID}.zarr/0/1/1/1", Fault(status=403))
        check(bring(server, tmp_path, "dev-zarr")["paths"][0], "dev-zarr")
        assert server.requests[f"/{DEV}/{ID}.zarr/0/1/1/1"] == 2


def test_chunks_of_a_server_that_turns_us_away_are_not_empty(root, tmp_path):
    lay_dev_zarr(root)
    with serving(root) as server:
        events = download(settings(server, tmp_path, "dev-zarr"))
        assert any(isinstance(event, Started) and event.work == "download" for event in events)
        server.storm(1, 1.0, [Fault(status=403)], in_a_row=10**9)
        server.fail(f"/{DEV}/{ID}_inklabels.png", Fault())
        server.fail(f"/{PATHS}/{ID}/{ID}_mask.png", Fault())
        with pytest.raises(SourceNotFoundError, match=r"zarray .* not taken for empty"):
            list(events)
        server.forget()
        check(bring(server, tmp_path, "dev-zarr")["paths"][0], "dev-zarr")


def test_a_store_that_is_deleted_while_it_is_fetched_is_not_empty(root, tmp_path):
    lay_dev_zarr(root)
    store = root / DEV / f"{ID}.zarr"
    with serving(root) as server:
        server.fail(f"/{DEV}/{ID}.zarr/0/1/1/1", Fault(then=lambda: store.rename(tmp_path / "away")))
        with pytest.raises(SourceNotFoundError, match=r"zarray .* not taken for empty"):
            bring(server, tmp_path, "dev-zarr")
        (tmp_path / "away").rename(store)
        check(bring(server, tmp_path, "dev-zarr")["paths"][0], "dev-zarr")


def test_what_is_incomplete_does_not_look_complete(root, tmp_path):
    lay_volpkg(root)
    with serving(root) as server:
        server.fail(f"/{PATHS}/{ID}/layers/07.tif", Fault(length=-50), 1000)
        with pytest.raises(SourceError, match=r"07\.tif cannot be fetched"):
            bring(server, tmp_path, "volpkg")
    assert os.listdir(tmp_path / "here") == [f"{ID}.partial"]


def test_a_store_that_changed_between_two_runs_is_not_mixed(root, tmp_path):
    lay_dev_zarr(root)
    with serving(root) as server:
        server.fail(f"/{DEV}/{ID}.zarr/0/2/2/2", Fault(status=500), 100)
        with pytest.raises(SourceError):
            bring(server, tmp_path, "dev-zarr")
        server.forget()
        save_ome(root / DEV / f"{ID}.zarr", VOLUME[:, :90], compressor=None)
        with pytest.raises(SourceError, match="changed since"):
            bring(server, tmp_path, "dev-zarr")


def test_another_source_is_not_mixed_in(root, tmp_path):
    lay_dev_zarr(root)
    lay_corpus(root)
    with serving(root) as server:
        bring(server, tmp_path, "dev-zarr")
        with pytest.raises(OutputExistsError, match="not from"):
            bring(server, tmp_path, "ink-corpus")
        (tmp_path / "here" / "77").mkdir()
        (root / DEV / f"{ID}.zarr").rename(root / DEV / "77.zarr")
        with pytest.raises(OutputExistsError, match="not from"):
            bring(server, tmp_path, "dev-zarr", segments=("77",))


@pytest.mark.parametrize(
    ("layout", "moments"),
    [
        ("volpkg", (0.6,)),
        pytest.param("volpkg", (0.4, 0.8, 1.2), marks=pytest.mark.slow),
        pytest.param("dev-zarr", (0.5, 1.0, 1.5, 2.0), marks=pytest.mark.slow),
    ],
)
def test_kills_at_any_moment_change_nothing(root, tmp_path, layout, moments):
    LAYOUTS[layout](root)
    with serving(root) as server:
        bring(server, tmp_path / "calm", layout)
        server.storm(1, 1.0, [Fault(slow=0.05)], in_a_row=10**9)
        chosen = ["--to", str(tmp_path / "here"), "--host", server.url, "--layout", layout, "--at-once", "2", "--json"]
        kills = 0
        for moment in moments:
            work = subprocess.Popen(
                [sys.executable, "-m", "volumen", "download", ID, *chosen],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            work.stdout.readline()  # it has begun
            time.sleep(moment)
            kills += work.poll() is None
            work.send_signal(signal.SIGKILL)
            work.wait()
            work.stdout.close()
        assert kills
        bring(server, tmp_path, layout)
    assert data_in(tmp_path / "here") == data_in(tmp_path / "calm" / "here")


def test_who_pulls_no_more_stops_the_work(root, tmp_path):
    lay_dev_zarr(root)
    with serving(root) as server:
        server.storm(1, 1.0, [Fault(slow=0.1)], in_a_row=10**9)
        events = download(settings(server, tmp_path, "dev-zarr", at_once=1))
        assert any(isinstance(event, Started) and event.work == "download" for event in events)
        next(events)
        events.close()
        asked = sum(server.requests.values())
        time.sleep(0.5)
        assert sum(server.requests.values()) == asked


def test_terms_are_written_whole(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError("the disk is gone")

    assert licence.record(tmp_path, "former")
    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="gone"):
        licence.record(tmp_path, "other")
    assert files_in(tmp_path) == {"LICENCE.txt": b"former\n"}


def test_events_tell_how_far_it_is_and_the_terms_once(root, tmp_path):
    lay_volpkg(root)
    with serving(root) as server:
        events = list(download(settings(server, tmp_path, "volpkg")))
        steps = [event for event in events if isinstance(event, Stepped)]
        assert (steps[-1].done, steps[-1].total) == (DEPTH + 2, DEPTH + 2)
        assert steps[-1].values["megabytes"] > 0
        assert sum("CC BY-NC" in event.message for event in events if isinstance(event, Warned)) == 1
        assert any("no ink" in event.message for event in events if isinstance(event, Warned))
        assert [event.path for event in events if isinstance(event, Saved)] == events[-1].result["paths"]
        assert isinstance(events[-1], Finished)
        again = list(download(settings(server, tmp_path, "volpkg", layers="0:5")))
        assert not any("CC BY-NC" in event.message for event in again if isinstance(event, Warned))


def test_what_is_nowhere_is_said(root, tmp_path):
    lay_dev_zarr(root)
    with serving(root) as server:
        with pytest.raises(SourceNotFoundError, match="volumen list"):
            bring(server, tmp_path, segments=("20991231235959",))
        assert sum(server.requests.values()) < 200
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("segment", ["../x", "a/b", "", ".hidden"])
def test_an_id_that_is_none_is_refused(tmp_path, segment):
    with pytest.raises(SettingsError, match="id"):
        list(download(Download(segments=(segment,), to=str(tmp_path), host="http://127.0.0.1:9")))


@pytest.mark.parametrize("host", ["ftp://a", "https://user:word@host/x", "dl.example.org"])
def test_a_host_is_a_url_without_a_login(host):
    with pytest.raises(ValueError, match=r"URL|netrc") as error:
        Download(segments=(ID,), host=host)
    assert host.startswith("ftp") or "volumen" not in str(error.value)


def test_shards_are_fetched_whole(root, tmp_path):
    save_ome(root / DEV / f"{ID}.zarr", VOLUME, shards=(4, 64, 64))
    with serving(root) as server:
        bring(server, tmp_path / "part", "dev-zarr", region="0:9,0:9")
        assert server.requests[f"/{DEV}/{ID}.zarr/0/c/0/0/0"] == 1
        assert server.requests[f"/{DEV}/{ID}.zarr/0/c/0/1/1"] == 0
        segment = open_segment(bring(server, tmp_path, "dev-zarr")["paths"][0])
    np.testing.assert_array_equal(segment.read(segment.window), VOLUME)


def test_a_server_does_not_choose_where_files_go(root, tmp_path):
    lay_dev_zarr(root)
    attributes = root / DEV / f"{ID}.zarr" / ".zattrs"
    attributes.write_text(attributes.read_text().replace('"path": "1"', '"path": "../../1"'))
    with serving(root) as server, pytest.raises(SourceError, match="outside of itself"):
        bring(server, tmp_path, "dev-zarr")
    LAYOUTS["open-data"](root, {"samples": {"a": {"segments": {"../../b": {"data": []}}}}})
    with serving(root) as server, pytest.raises(SourceNotFoundError):
        bring(server, tmp_path, "open-data", segments=("b",))


def test_a_damaged_ledger_is_said(root, tmp_path):
    lay_volpkg(root)
    with serving(root) as server:
        bring(server, tmp_path, "volpkg")
        ledger = tmp_path / "here" / ID / "download.jsonl"
        whole = ledger.read_bytes()
        ledger.write_bytes(whole + b'{"path": "layers/0')  # as a kill leaves it
        assert bring(server, tmp_path, "volpkg", layers="0:4")["files"] == 0
        assert ledger.read_bytes() == whole
        ledger.write_bytes(b"nonsense\n")
        with pytest.raises(SourceError, match="fetched anew"):
            bring(server, tmp_path, "volpkg", layers="0:3")


def test_several_segments_come_one_after_the_other_and_a_region_from_zarrs_only(root, tmp_path):
    lay_volpkg(root)
    lay_dev_zarr(root)
    lay_corpus(root)
    (root / CORPUS / ID).rename(root / CORPUS / "77")
    for path in list((root / CORPUS / "77").iterdir()):
        path.rename(path.with_name(path.name.replace(ID, "77")))
    with serving(root) as server:
        told = bring(server, tmp_path, segments=(ID, "77"), region="0:40,0:40")
    here = tmp_path / "here"
    assert told["paths"] == [str(here / ID / f"{ID}.zarr"), str(here / "77" / "77.zarr")]
    for path in told["paths"]:
        np.testing.assert_array_equal(open_segment(path).levels[0][:, :40, :40], VOLUME[:, :40, :40])
    assert told["missing"] == {"77": ["held_out", "mask"]}
