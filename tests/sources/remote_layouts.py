"""Segments as the known layouts keep them, small enough for a test."""

from __future__ import annotations

import gzip
import json

import numpy as np
import tifffile
import zarr
from PIL import Image

ID = "20230827161847"
DEPTH, HEIGHT, WIDTH = 11, 96, 80
RNG = np.random.default_rng(0)
VOLUME = RNG.integers(1, 255, (DEPTH, HEIGHT, WIDTH), dtype=np.uint8)
INK = (RNG.random((HEIGHT, WIDTH)) > 0.7).astype(np.uint8) * 255
PATHS = "full-scrolls/Scroll1/PHercParis4.volpkg/paths"
DEV = "other/dev/scrolls/1/segments/54keV_7.91um"
CORPUS = "ink/phercparis4"
SURFACE = f"PHerc0172/segments/{ID}-w064/surface-volumes/7.91um-53keV-volume-20241024131838.zarr"


def save_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_ome(path, volume, *, compressor="auto", write_empty=True, shards=None):
    """Write an OME-Zarr 0.4 of two levels as the servers have it: zarr v2, chunks in folders; or v3, in shards."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if shards else 2)
    datasets = []
    for level in range(2):
        data = volume[:, :: 2**level, :: 2**level]
        array = group.create_array(
            str(level),
            shape=data.shape,
            chunks=(4, 32, 32),
            dtype=data.dtype,
            compressors=compressor,
            shards=shards,
            chunk_key_encoding=None if shards else {"name": "v2", "separator": "/"},
            config={"write_empty_chunks": write_empty},
        )
        array[...] = data
        scale = [1.0, 2.0**level, 2.0**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def lay_volpkg(root, suffix=""):
    home = root / PATHS / f"{ID}{suffix}"
    (home / "layers").mkdir(parents=True)
    for index, layer in enumerate(VOLUME):
        tifffile.imwrite(home / f"layers/{index:02}.tif", layer.astype(np.uint16) << 8)
    save_png(home / f"{ID}_mask.png", np.full((HEIGHT, WIDTH), 255, np.uint8))
    (home / "meta.json").write_text('{"voxelsize": 7.91}')


def lay_dev_zarr(root, **how):
    save_ome(root / DEV / f"{ID}.zarr", VOLUME, **how)
    save_png(root / DEV / f"{ID}_inklabels.png", INK)
    save_png(root / PATHS / ID / f"{ID}_mask.png", np.full((HEIGHT, WIDTH), 255, np.uint8))


def lay_open_data(root, catalogue=None):
    save_ome(root / SURFACE, VOLUME, compressor=None)
    volumes = {"20241024131838": {"long_id": "20241024131838-7.910um-53keV-masked", "properties": {"shape": None}}}
    origins = [{"path": f"PHerc0172/segments/{ID}-w064/original.obj", "access_roots": None}]
    segments = {
        ID: {"original_volume_id": "20241024131838", "width": None, "data": [{"type": "obj", "origins": origins}, None]}
    }
    told = catalogue or {"metadata": {"samples": {"PHerc0172": {"volumes": volumes, "segments": segments}, "x": None}}}
    (root / "metadata.json").write_bytes(gzip.compress(json.dumps(told).encode()))


def lay_corpus(root):
    home = root / CORPUS / ID
    save_ome(home / f"{ID}.zarr", VOLUME)
    home.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(home / f"{ID}_inklabels.tif", np.zeros_like(INK))
    tifffile.imwrite(home / f"{ID}_inklabels_v2.tif", INK)
    flat = np.zeros_like(VOLUME)
    flat[DEPTH // 2] = 255
    save_ome(home / f"{ID}_supervision_mask.zarr", flat)


LAYOUTS = {"volpkg": lay_volpkg, "dev-zarr": lay_dev_zarr, "open-data": lay_open_data, "ink-corpus": lay_corpus}
