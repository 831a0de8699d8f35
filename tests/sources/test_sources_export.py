"""Exported maps: the same pixels, a sidecar, and nothing half-written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from volumen.errors import OutputExistsError
from volumen.sources.pyramids.export import export_png, export_tiff
from volumen.sources.pyramids.probability_map import ProbabilityMap, create_map

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def finished(tmp_path: Path) -> ProbabilityMap:
    output = create_map(
        tmp_path / "map.zarr",
        shape=(301, 530),
        settings={"tile": 64},
        provenance={"volumen": "1"},
        voxel_um=8.0,
        block=128,
    )
    image = np.random.default_rng(0).integers(0, 256, (301, 530), dtype=np.uint8)
    for block in output.blocks(output.window):
        output.write(block, image[block.yx])
    output.finish()
    return output


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_tiff_holds_the_map_in_compressed_tiles(finished: ProbabilityMap, tmp_path: Path, compression: Any) -> None:
    path = export_tiff(finished, tmp_path / "map.tif", compression=compression)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        np.testing.assert_array_equal(page.asarray(), finished.read(finished.window))
        assert page.is_tiled
        assert page.compression.name in ("ADOBE_DEFLATE", "LZW")
        assert page.resolution == (1250.0, 1250.0)  # pixels of 8 µm a centimetre
    np.testing.assert_array_equal(np.asarray(Image.open(path)), finished.read(finished.window))


def test_png_holds_the_map(finished: ProbabilityMap, tmp_path: Path) -> None:
    path = export_png(finished, tmp_path / "map.png")
    with Image.open(path) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), finished.read(finished.window))


@pytest.mark.parametrize("export", [export_tiff, export_png])
def test_a_sidecar_says_what_made_it(finished: ProbabilityMap, tmp_path: Path, export: Callable[..., Path]) -> None:
    path = export(finished, tmp_path / "picture")
    sidecar = json.loads((tmp_path / "picture.json").read_text())
    assert sidecar == {"map": str(finished.path), **finished.attributes}
    assert sorted(place.name for place in tmp_path.iterdir()) == ["map.zarr", "picture", "picture.json"]
    with pytest.raises(OutputExistsError):
        export(finished, path)
    export(finished, path, overwrite=True)


@pytest.mark.parametrize("export", [export_tiff, export_png])
def test_nothing_is_left_of_an_export_that_fails(
    finished: ProbabilityMap, tmp_path: Path, export: Callable[..., Path]
) -> None:
    chunk = finished.path / "0" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises((RuntimeError, ValueError, OSError)):
        export(finished, tmp_path / "picture")
    assert [place.name for place in tmp_path.iterdir()] == ["map.zarr"]
