"""Photographs predicted through the same tiles as segments: tiled is whole, and colours are read as they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
import zarr
from PIL import Image

from volumen import settings
from volumen.crops.normalize import Normalization
from volumen.crops.photo_images import resize_pixels
from volumen.errors import CheckpointError
from volumen.events import result
from volumen.models.checkpoint import save_checkpoint
from volumen.models.encoders import measure_norms
from volumen.models.segnet import SimpleSegNet
from volumen.recipes.infer import predict
from volumen.sources.open import open_segment
from volumen.sources.photos.read_photos import read_photos

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (320, 416)
REACH = 64  # px; SimpleSegNet's logits depend on nothing further away


def write_checkpoint(path: Path, **changes: Any) -> SimpleSegNet:
    torch.manual_seed(0)
    model = SimpleSegNet(width=0.25).eval()
    measure_norms(model, [(torch.rand(2, 3, 64, 64),)])  # with norms of their own, random weights still see something
    header = {"layer_count": 3, "surface_offset": -1, "normalization": Normalization().to_dict()}
    said = {"input_size": [512, 512], "photos": {"fit": "crop", "background": [0]}}
    save_checkpoint(path, model, {**header, **said, **changes})
    return model


def photograph(size: tuple[int, int] = SIZE) -> np.ndarray:
    blocks = np.random.default_rng(0).integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


def predicted(folder: Path, photo: Path, name: str, **options: Any) -> np.ndarray:
    chosen = settings.Predict(
        checkpoint=str(folder / "a.safetensors"), segment=str(photo), out=str(folder / name), device="cpu", **options
    )
    result(predict(chosen))
    return zarr.open_array(folder / name / "0", mode="r")[:].astype(int)


def test_tiled_is_whole(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "a.safetensors")
    pixels = photograph()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    whole = predicted(tmp_path, tmp_path / "photo.png", "whole.zarr", tile=448)
    assert whole.shape == SIZE
    assert whole.std() > 10
    with torch.no_grad():
        direct = torch.sigmoid(model(torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]))[0, 0]
    assert np.abs(whole - (direct * 255).round().int().numpy()).max() <= 1
    tiles = predicted(tmp_path, tmp_path / "photo.png", "tiles.zarr", tile=192, tiling="halo", overlap=REACH)
    assert np.abs(tiles - whole).max() <= 1
    part = predicted(
        tmp_path, tmp_path / "photo.png", "part.zarr", tile=192, tiling="halo", overlap=REACH, region="50:300,100:260"
    )
    assert np.abs(part - whole)[50:300, 100:260].max() <= 1


@pytest.mark.parametrize("form", ["strips.tif", "tiles.tif", "deflated.tif", "turned.jpg", "grey.png", "clear.png"])
def test_a_photograph_opens_as_three_layers_as_it_is_seen(tmp_path: Path, form: str) -> None:
    path, pixels = tmp_path / form, photograph((96, 128))
    match form:
        case "strips.tif":
            tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=7)
        case "tiles.tif":
            tifffile.imwrite(path, pixels, photometric="rgb", tile=(32, 48), compression="zlib")
        case "deflated.tif":
            tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib", rowsperstrip=40, predictor=2)
        case "turned.jpg":
            exif = Image.Exif()
            exif[274] = 6
            Image.fromarray(pixels).save(path, quality=95, exif=exif)
        case "grey.png":
            Image.fromarray(pixels[..., 0]).save(path)
        case "clear.png":
            Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(path)
    expected = np.moveaxis(read_photos(path).photos[0].pixels(), -1, 0)
    segment = open_segment(path, colours=True)
    assert segment.shape == expected.shape
    assert segment.dtype == np.uint8
    np.testing.assert_array_equal(segment.levels[0][:, :, :], expected)
    np.testing.assert_array_equal(segment.levels[0][1:3, 20:90, 30:70], expected[1:3, 20:90, 30:70])


def test_without_colours_a_photograph_is_one_grey_layer_still(tmp_path: Path) -> None:
    Image.fromarray(photograph()).save(tmp_path / "photo.png")
    assert open_segment(tmp_path / "photo.png").shape == (1, *SIZE)


def test_a_model_of_whole_photographs_sees_them_at_the_scale_it_learned_at(tmp_path: Path) -> None:
    model = write_checkpoint(
        tmp_path / "a.safetensors", photos={"fit": "resize", "background": [0]}, input_size=[160, 208]
    )
    Image.fromarray(photograph()).save(tmp_path / "photo.png")
    small = resize_pixels(photograph(), (160, 208))
    with torch.no_grad():
        padded = F.pad(
            torch.from_numpy(small / np.float32(255)).permute(2, 0, 1)[None], (0, 16, 0, 0), mode="replicate"
        )
        seen = torch.sigmoid(model(padded))[..., :208]
        expected = F.interpolate(seen, size=SIZE, mode="bilinear")[0, 0] * 255
    whole = predicted(tmp_path, tmp_path / "photo.png", "whole.zarr")
    assert whole.shape == SIZE
    assert whole.std() > 10
    assert np.abs(whole - expected.round().int().numpy()).max() <= 1
    # tiles of 192 px as the model sees them; its logits reach no further than what is cut off around them
    tiles = predicted(tmp_path, tmp_path / "photo.png", "tiles.zarr", tile=192, tiling="halo", overlap=REACH)
    assert np.abs(tiles - whole).max() <= 1
    native = write_checkpoint(tmp_path / "a.safetensors")
    assert isinstance(native, SimpleSegNet)
    other = predicted(tmp_path, tmp_path / "photo.png", "native.zarr")
    assert np.abs(other - whole).mean() > 3


def test_a_model_of_photographs_refuses_segments(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors")
    np.save(tmp_path / "segment.npy", np.zeros((7, 64, 64), np.uint8))
    with pytest.raises(CheckpointError, match=r"learned from photographs, of 3 colours; .* has 7 layers"):
        predicted(tmp_path, tmp_path / "segment.npy", "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
