"""What servers have: from catalogues in any form, which are doubted, and from index pages."""

from __future__ import annotations

import gzip
import json

import pytest
from remote_layouts import ID, lay_dev_zarr, lay_open_data, lay_volpkg

from http_server import serving
from volumen.errors import SourceError
from volumen.events import Warned, result
from volumen.settings import Listing
from volumen.sources.remote.catalogue import read_catalogue
from volumen.sources.remote.listing import list_segments


@pytest.fixture
def root(tmp_path):
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.mark.parametrize("how", ["raw", "encoded", "plain"])
def test_a_catalogue_is_read_in_any_form_and_doubted(root, how):
    lay_open_data(root)
    if how == "plain":
        (root / "metadata.json").write_bytes(gzip.decompress((root / "metadata.json").read_bytes()))
    with serving(root, encoded=["/metadata.json"] if how == "encoded" else []) as server:
        told = result(list_segments(Listing(layout="open-data", host=server.url)))
    assert told["segments"] == {"open-data": {f"{ID}-w064": "PHerc0172, size not said"}}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"samples": 3}', b"\x1f\x8bnope"])
def test_a_damaged_catalogue_is_said(root, raw):
    (root / "metadata.json").write_bytes(raw)
    with serving(root) as server, pytest.raises(SourceError, match=r"metadata\.json"):
        list(list_segments(Listing(layout="open-data", host=server.url)))


def test_index_pages_are_lists(root):
    lay_volpkg(root)
    lay_dev_zarr(root)
    with serving(root, listing=True) as server:
        for layout in ("volpkg", "dev-zarr"):
            told = result(list_segments(Listing(layout=layout, host=server.url, scroll="Scroll1")))
            assert told["segments"] == {layout: {ID: "Scroll1"}}
    with serving(root) as server:
        events = list(list_segments(Listing(layout="volpkg", host=server.url)))
        assert sum("cannot be listed" in event.message for event in events if isinstance(event, Warned)) == 5
        assert events[-1].result["count"] == 0


@pytest.mark.parametrize(
    ("about", "size"),
    [
        ({"properties": {"shape": [33, 13420, 14940]}}, (13420, 14940)),
        ({"width": 14940, "height": 13420}, (13420, 14940)),
        ({"width": 14940, "height": None}, None),
        ({"properties": {"shape": None}}, None),
        ({"properties": {"shape": [33, "wide", -4]}}, None),
        ({"properties": 3, "shape": 7}, None),
        (None, None),
    ],
)
def test_sizes_are_taken_only_as_sizes(about, size):
    raw = json.dumps({"samples": {"PHerc0172": {"segments": {ID: about}}}}).encode()
    (entry,) = read_catalogue(raw, "metadata.json")
    assert (entry.identity, entry.size) == (ID, size)


def test_surface_volumes_are_named_by_the_scans_of_the_catalogue():
    volumes = {
        "20250728140407": {"long_id": "20250728140407-9.362um-1.2m-113keV-masked"},
        "20250521135224": {"long_id": "20250521135224-8.640um-1.2m-116keV-masked"},
        "broken": {"long_id": None},
    }
    segment = {
        "original_volume_id": "20250521135224",
        "data": [{"origins": [{"path": "s/segments/7-w1/original.obj"}]}],
    }
    raw = json.dumps({"samples": {"s": {"volumes": volumes, "segments": {"7": segment}}}}).encode()
    (entry,) = read_catalogue(raw, "metadata.json")
    below = "s/segments/7-w1/surface-volumes"
    assert entry.volumes[0] == f"{below}/8.64um-1.2m-116keV-volume-20250521135224.zarr"
    assert f"{below}/9.362um-1.2m-113keV-volume-20250728140407.zarr" in entry.volumes
