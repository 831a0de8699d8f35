"""The synthetic segment: same bytes from the same seed, no seams, and as hard as it says."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from volumen.errors import LabelError, OutputExistsError, SourceNotFoundError
from volumen.events import Finished, Saved, Started, Stepped, result
from volumen.settings import Phantom
from volumen.sources.labels.rasters import Raster
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom, papyrus_of
from volumen.sources.synthetic.repeated import Repeated
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from volumen.sources.segment import Segment
    from volumen.sources.synthetic.papyrus import Papyrus

LABELS = Path(__file__).parents[3] / "shared" / "data" / "ink_labels"
SMALL = {"size": (320, 288), "layers": 12}


def _digest(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Segment:
    path = tmp_path_factory.mktemp("default") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path))))
    return open_segment(path)


def test_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    digests = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        result(make_phantom(Phantom(out=str(tmp_path / folder / "p.zarr"), seed=seed, **SMALL)))
        digests.append(_digest(tmp_path / folder / "p.zarr"))
    assert len(digests[0]) > 8
    assert digests[0] == digests[1]
    changed = {name for name in digests[0] if digests[0][name] != digests[2][name]}
    assert any(name.startswith("0/c") for name in changed)
    assert any(name.startswith("labels/ink/0/c") for name in changed)


def test_windows_join_without_a_seam(tmp_path: Path) -> None:
    papyrus = papyrus_of(Phantom(out=str(tmp_path), size=(200, 230), layers=9))
    whole = papyrus.read(Window.whole(papyrus.shape))
    for side in (64, 100):
        for window in grid(Window.whole(papyrus.shape), side, side):
            inside = window.clip(papyrus.shape)
            np.testing.assert_array_equal(papyrus.read(inside), whole[inside.zyx])


def test_what_is_written_is_what_the_papyrus_says(tmp_path: Path) -> None:
    settings = Phantom(out=str(tmp_path / "p.zarr"), dtype="uint16", voxel_um=3.24, **SMALL)
    events = list(make_phantom(settings))
    assert [type(event) for event in events] == [Started, *[Stepped] * 4, Saved, Finished]
    segment = open_segment(tmp_path / "p.zarr")
    assert (segment.shape, segment.dtype, segment.voxel_um) == ((12, 320, 288), np.uint16, 3.24)
    papyrus = papyrus_of(settings)
    voxels = papyrus.read(segment.window)
    assert np.abs(segment.read(segment.window) / 65535.0 - voxels).max() <= 0.51 / 65535
    for name, expected in (
        ("ink", papyrus.label(segment.window)),
        ("mask", papyrus.mask(segment.window)),
        ("supervision", papyrus.supervision(segment.window)),
    ):
        assert np.abs(segment.raster(name).read(segment.window) - expected).max() <= 0.51 / 255
    told = result(iter(events))
    supervised = segment.supervised(segment.window)
    ink = segment.raster("ink").read(segment.window)[supervised] > 0.5
    assert told["ink_share"] == pytest.approx(ink.mean(), abs=1e-3)
    assert told["supervised_share"] == pytest.approx(supervised.mean())
    assert told["shape"] == [12, 320, 288]


def test_zero_is_outside_the_mask_and_nowhere_else(default: Segment) -> None:
    voxels = default.read(default.window)
    mask = default.raster("mask").read(default.window) > 0.5
    assert not voxels[:, ~mask].any()
    assert voxels[:, mask].all()
    assert 0.7 < mask.mean() < 0.95
    assert not (default.raster("ink").read(default.window)[~mask]).any()
    supervised = default.supervised(default.window)
    assert not (supervised & ~mask).any()
    assert 0.02 < (mask & ~supervised).sum() / mask.sum() < 0.25


def test_the_surface_lies_in_the_middle_and_rolls(default: Segment) -> None:
    voxels = default.read(default.window).astype(np.float32)
    mask = default.raster("mask").read(default.window) > 0.5
    profile = voxels[:, mask].mean(axis=1)
    steps = np.diff(profile)
    assert abs(int(steps[8:24].argmax()) + 9 - default.surface_index) <= 2
    # By 64 px blocks the surface, where brightness passes half way, moves by layers.
    blocks = voxels.reshape(32, 16, 64, 16, 64).mean(axis=(2, 4))[10:24]
    crossings = (blocks > 0.5 * (profile.min() + profile.max())).argmax(axis=0)
    inner = crossings[2:-2, 2:-2]
    assert 3 <= np.ptp(inner) <= 8


def test_fibres_of_the_two_layers_cross(default: Segment) -> None:
    voxels = default.read(Window((0, 32), (256, 768), (256, 768))).astype(np.float32)

    def roughness(layer: int, axis: int) -> float:
        smooth = gaussian_filter(voxels[layer - 1 : layer + 2].mean(axis=0), 1.5)
        return float(np.abs(np.diff(smooth, n=1, axis=axis)).mean())

    upper, lower = 19, 25
    assert roughness(upper, 0) > 1.15 * roughness(upper, 1)
    assert roughness(lower, 1) > 1.15 * roughness(lower, 0)


def test_means_over_layers_do_not_rank_pixels(default: Segment) -> None:
    supervised = default.supervised(default.window)
    ink = default.raster("ink").read(default.window)[supervised] > 0.5
    voxels = default.read(default.window)[:, supervised].astype(np.float32)

    def auc(greys: NDArray[np.float32]) -> float:
        score = float(roc_auc_score(ink, greys))
        return max(score, 1 - score)

    assert auc(voxels.mean(axis=0)) < 0.75
    assert auc(voxels[6:26].mean(axis=0)) < 0.75
    best = max(auc(layer) for layer in voxels)
    assert best < 0.75
    # The ink does change the grey a little, or the demand would be empty.
    assert best > 0.53


def test_contrast_and_depth_do_what_they_say(tmp_path: Path) -> None:
    def papyrus(**changed: float) -> tuple[Papyrus, NDArray[np.float32]]:
        sheet = papyrus_of(Phantom(out=str(tmp_path), size=(256, 256), layers=16, **changed))
        return sheet, sheet.read(Window.whole(sheet.shape))

    hidden, without = papyrus(contrast=0)
    window = Window.whole(hidden.shape)
    ink = hidden.label(window) > 0.5
    clear = ~ink & hidden.mask(window)
    changes = []
    for contrast in (0.5, 1.0, 2.0):
        _, voxels = papyrus(contrast=contrast)
        changes.append(float(np.abs(voxels - without)[:, ink].mean()))
        assert np.abs(voxels - without)[8:11, ink].mean() > np.abs(voxels - without)[8:11, clear].mean()
    assert changes[1] / changes[0] == pytest.approx(2, rel=0.05)
    assert changes[2] / changes[1] == pytest.approx(2, rel=0.1)
    reaches = []
    for ink_depth in (2.0, 5.0):
        _, voxels = papyrus(ink_depth=ink_depth)
        change = np.abs(voxels - without)[:, ink].mean(axis=1)
        reaches.append(int((change > 0.5 * change.max()).sum()))
    assert reaches[1] >= reaches[0] + 2


@pytest.mark.parametrize("share", [0.05, 0.12, 0.2])
def test_ink_share_is_about_what_was_asked(tmp_path: Path, share: float) -> None:
    papyrus = papyrus_of(Phantom(out=str(tmp_path), size=(1024, 1024), ink_share=share))
    window = Window.whole((1, 1024, 1024))
    assert papyrus.label(window)[papyrus.mask(window)].mean() == pytest.approx(share, rel=0.3)


def test_a_label_given_is_the_ink(tmp_path: Path) -> None:
    stripes = np.zeros((40, 60), np.uint8)
    stripes[:, 10:20] = 255
    Image.fromarray(stripes).save(tmp_path / "label.png")
    papyrus = papyrus_of(Phantom(out=str(tmp_path), size=(128, 150), label=str(tmp_path / "label.png")))
    window = Window.whole((1, 128, 150))
    expected = np.zeros((128, 150), np.float32)
    for start in (10, 70, 130):
        expected[:, start : start + 10] = 1
    np.testing.assert_array_equal(papyrus.label(window), expected * papyrus.mask(window))


def test_a_real_label_is_cut_where_it_holds_most(tmp_path: Path) -> None:
    path = LABELS / "20230827161847_inklabels.png"
    if not path.exists():
        pytest.skip("the real ink labels are not here")
    papyrus = papyrus_of(Phantom(out=str(tmp_path), size=(512, 512), label=str(path)))
    window = Window.whole((1, 512, 512))
    # 7.8 % of the whole label is ink.
    assert papyrus.label(window).mean() > 0.1


def test_of_a_label_no_more_is_decoded_than_a_window_needs() -> None:
    label = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    asked: list[tuple[slice, slice]] = []

    class Lazy:
        shape = label.shape

        def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
            asked.append(key)
            return label[key]

    raster = Raster(source="label", shape=label.shape, extent=label.shape, decode=Lazy)
    plane = Repeated(raster=raster, corner=(10, 70))
    tiled = np.tile(label, (3, 3))[10:, 70:]
    for y, x in ((0, 0), (3, 20), (45, 7), (55, 100)):
        read = plane.read(Window((0, 1), (y, y + 9), (x, x + 6)))
        np.testing.assert_array_equal(read, tiled[y : y + 9, x : x + 6] / np.float32(255))
    assert asked[0] == (slice(10, 19), slice(70, 76))
    assert asked[1] == (slice(13, 22), slice(10, 16))


def test_an_empty_label_or_none_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "empty.png")
    for name, error in (("empty.png", LabelError), ("absent.png", SourceNotFoundError)):
        settings = Phantom(out=str(tmp_path / "p.zarr"), label=str(tmp_path / name), **SMALL)
        with pytest.raises(error):
            result(make_phantom(settings))
    assert [file.name for file in tmp_path.iterdir()] == ["empty.png"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "p.zarr"
    result(make_phantom(Phantom(out=str(out), **SMALL)))
    before = _digest(out)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        result(make_phantom(Phantom(out=str(out), seed=1, **SMALL)))
    assert _digest(out) == before
    result(make_phantom(Phantom(out=str(out), seed=1, overwrite=True, **SMALL)))
    assert _digest(out) != before
    other = tmp_path / "letters"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError, match="no OME-Zarr"):
        result(make_phantom(Phantom(out=str(other), overwrite=True, **SMALL)))
    assert (other / "mine.txt").read_text() == "keep"


def test_stopping_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "p.zarr"
    result(make_phantom(Phantom(out=str(out), **SMALL)))
    before = _digest(out)
    events = make_phantom(Phantom(out=str(out), seed=1, overwrite=True, **SMALL))
    next(events), next(events)
    events.close()
    assert _digest(out) == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.zarr"]


def test_every_depth_has_its_surface_in_the_middle(tmp_path: Path) -> None:
    for layers in (8, 21, 65):
        papyrus = papyrus_of(Phantom(out=str(tmp_path), size=(160, 160), layers=layers))
        voxels = papyrus.read(Window.whole(papyrus.shape))
        middle = layers // 2
        inner = voxels[:, 40:120, 40:120].mean(axis=(1, 2))
        assert inner[middle + 3] > inner[middle - 4] + 0.15


@pytest.mark.slow
def test_a_small_network_learns_to_see_the_ink(default: Segment) -> None:
    import torch
    from segmentation_models_pytorch import Unet
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    side, batch, steps, half = 128, 8, 200, 512
    image = torch.from_numpy(default.read(default.window.layers(6, 26)).astype(np.float32) / 255)
    image = (image - image[image > 0].mean()) / image[image > 0].std()
    ink = torch.from_numpy(default.raster("ink").read(default.window))
    supervised = torch.from_numpy(default.supervised(default.window).astype(np.float32))
    planes = torch.cat([image, ink[None], supervised[None]])

    def crop() -> torch.Tensor:
        y, x = int(draw.integers(1024 - side + 1)), int(draw.integers(half - side + 1))
        cut = planes[:, y : y + side, x : x + side]
        axes = [axis for axis in (1, 2) if draw.random() < 0.5]
        return cut.flip(axes) if axes else cut

    model = Unet("resnet18", encoder_weights=None, in_channels=20, classes=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.15)
    for _ in range(steps):
        crops = torch.stack([crop() for _ in range(batch)])
        logits, target, weight = model(crops[:, :20]), crops[:, 20:21], crops[:, 21:]
        entropy = binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum") / weight.sum()
        share = logits.sigmoid() * weight
        dice = 1 - (2 * (share * target).sum() + 1) / ((share + target * weight).sum() + 1)
        optimizer.zero_grad()
        (0.5 * entropy + 0.5 * dice).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        probability = model(image[None, :, :, half:])[0, 0].sigmoid().numpy()
    held_out = supervised[:, half:].numpy() > 0.5
    score = roc_auc_score(ink[:, half:].numpy()[held_out] > 0.5, probability[held_out])
    assert score > 0.9
