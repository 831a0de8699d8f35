"""Reconstruction sheet: each picture is at its place, and its pixels are those of the arrays."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from volumen.errors import SettingsError
from volumen.recipes.reporting.reconstructions import COLUMNS, HIDDEN, reconstruction_sheet, row_pictures

PATCH, SIDES = 32, (192, 256)


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops of three layers, of which the model sees a checkerboard, and what it made of them."""
    random = np.random.default_rng(0)
    images, restored = random.uniform(0.2, 0.8, (2, 2, 3, *SIDES)).astype(np.float32)
    visible = np.indices((2, 6, 8)).sum(axis=0) % 2 == 0
    return images, visible, restored


def opened(sheet: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(sheet)).convert("RGB")).astype(int)


def cells(sheet: np.ndarray, pictures: tuple[np.ndarray, ...]) -> list[tuple[int, int]]:
    """Return where each picture stands in the sheet, by looking for it."""
    found = []
    for picture in pictures:
        height, width = picture.shape[:2]
        room = sheet[: sheet.shape[0] - height + 1, : sheet.shape[1] - width + 1]
        diagonal = [(k, k) for k in range(0, height, 13)]  # a few pixels first: comparing everywhere takes long
        starts = np.logical_and.reduce(
            [sheet[y : y + room.shape[0], x : x + room.shape[1], 0] == picture[y, x, 0] for y, x in diagonal]
        )
        places = [(int(y), int(x)) for y, x in np.argwhere(starts)]
        found += [(y, x) for y, x in places if np.array_equal(sheet[y : y + height, x : x + width], picture)][:1]
    return found


def test_five_pictures_of_every_crop_stand_in_rows_and_columns(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    images, visible, restored = arrays
    sheet = opened(reconstruction_sheet(images, visible, restored, patch=PATCH))
    hidden = ~visible.repeat(PATCH, 1).repeat(PATCH, 2)
    rows = [cells(sheet, row_pictures(images[n, 1], hidden[n], restored[n, 1])) for n in range(2)]
    assert [len(row) for row in rows] == [len(COLUMNS)] * 2
    tops = [{y for y, _ in row} for row in rows]
    assert all(len(top) == 1 for top in tops)
    assert min(tops[0]) < min(tops[1])
    lefts = [x for _, x in rows[0]]
    assert lefts == sorted(set(lefts)) == [x for _, x in rows[1]]


def test_pictures_mean_what_their_columns_say(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, visible, restored = arrays
    image, drawn, seen = images[0, 1], restored[0, 1], visible[0].repeat(PATCH, 0).repeat(PATCH, 1)
    crop, masked, filled, alone, error = row_pictures(image, ~seen, drawn)
    low, high = np.quantile(image, [0.01, 0.99])
    expected = ((image - low) / (high - low)).clip(0, 1) * 255
    np.testing.assert_allclose(crop[..., 0], expected, atol=1)
    np.testing.assert_array_equal(masked[seen], crop[seen])
    assert (masked[~seen] == HIDDEN).all()
    np.testing.assert_array_equal(filled[seen], crop[seen])
    np.testing.assert_array_equal(filled[~seen], alone[~seen])
    np.testing.assert_allclose(alone[..., 0], ((drawn - low) / (high - low)).clip(0, 1) * 255, atol=1)
    assert (error[seen] == HIDDEN).all()
    off = np.abs(image - drawn)[~seen] / (high - low) * 2
    np.testing.assert_allclose(error[~seen][:, 2], off.clip(0, 1) * 255, atol=1)


def test_the_layer_shown_is_the_one_asked_for(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, visible, restored = arrays
    middle = reconstruction_sheet(images, visible, restored, patch=PATCH)
    assert middle == reconstruction_sheet(images, visible, restored, patch=PATCH, layer=1)
    last = opened(reconstruction_sheet(images, visible, restored, patch=PATCH, layer=2))
    hidden = ~visible.repeat(PATCH, 1).repeat(PATCH, 2)
    assert len(cells(last, row_pictures(images[0, 2], hidden[0], restored[0, 2]))) == len(COLUMNS)


def test_a_perfect_reconstruction_has_no_error_and_blank_crops_are_drawn() -> None:
    images = np.zeros((1, 1, 64, 64))
    images[..., :32] = 0.5
    visible = np.array([[[True, False], [False, True]]])
    hidden = ~visible[0].repeat(32, 0).repeat(32, 1)
    error = row_pictures(images[0, 0], hidden, images[0, 0])[-1]
    assert (error[hidden] == 0).all()
    for flat in (np.zeros((1, 1, 64, 64)), images):
        assert opened(reconstruction_sheet(flat, visible, flat, patch=32)).ndim == 3


def test_small_crops_are_enlarged_and_large_ones_thinned() -> None:
    visible = np.array([[[True, False]]])
    small, large = (np.random.default_rng(0).random((1, 1, side, 2 * side)) for side in (32, 1024))
    sheets = [opened(reconstruction_sheet(each, visible, each, patch=each.shape[2])) for each in (small, large)]
    assert sheets[0].shape[1] > 5 * 128
    assert sheets[1].shape[1] < 5 * 540


def test_names_and_title_are_written(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    plain = reconstruction_sheet(*arrays, patch=PATCH)
    named = reconstruction_sheet(*arrays, patch=PATCH, names=("y 0, x 0", "y 0, x 256"))
    titled = reconstruction_sheet(*arrays, patch=PATCH, title="Epoch 12")
    assert len({plain, named, titled}) == 3
    assert plain == reconstruction_sheet(*arrays, patch=PATCH)


def test_what_does_not_fit_is_an_error(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, visible, restored = arrays
    with pytest.raises(SettingsError, match="NCHW"):
        reconstruction_sheet(images, visible, restored[:1], patch=PATCH)
    with pytest.raises(SettingsError, match="NCHW"):
        reconstruction_sheet(images, visible[:, :3], restored, patch=PATCH)
    with pytest.raises(SettingsError, match="multiples of 32"):
        reconstruction_sheet(images[..., :-1], visible[..., :-1], restored[..., :-1], patch=PATCH)
    with pytest.raises(SettingsError, match="3 layers"):
        reconstruction_sheet(images, visible, restored, patch=PATCH, layer=3)
    with pytest.raises(SettingsError, match="1 names"):
        reconstruction_sheet(images, visible, restored, patch=PATCH, names=("one",))
