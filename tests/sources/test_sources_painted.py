"""Painted labels: what is painted is what any reader opens, in versions, whatever happens in between."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from volumen.errors import OutOfSpaceError, SourceNotFoundError
from volumen.events import result
from volumen.settings import Phantom
from volumen.sources.labels.painted import BACKGROUND, INK, UNLABELLED, PaintedLabels, Patch, classes_of, open_painted
from volumen.sources.labels.versions import LabelHome
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import Pyramid, create_pyramid
from volumen.sources.synthetic.phantom import make_phantom
from volumen.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 1300  # two levels, three chunks a side, the last cut


def volume(path: Path, *, ours: bool = False) -> Path:
    """Write a blank volume; as zarr of somebody else's unless ``ours``."""
    pyramid = create_pyramid(path, shape=(3, SIDE, SIDE), dtype="uint8", chunks=(3, 256, 256), voxel_um=7.91)
    if not ours:
        import zarr

        del zarr.open_group(pyramid.path, mode="r+").attrs["volumen"]
    return path


def opened(path: Path, tmp_path: Path) -> PaintedLabels:
    return open_painted(open_segment(path), elsewhere=tmp_path / "cache")


def paint(labels: PaintedLabels, window: Window, classes: Any) -> None:
    was = labels.read(window)
    wanted = np.broadcast_to(np.uint8(classes), was.classes.shape)
    labels.write(window, was.repainted(wanted), wanted != was.classes)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def box(y: int, x: int, height: int, width: int) -> Window:
    return Window((0, 1), (y, y + height), (x, x + width))


@pytest.mark.parametrize("ours", [True, False])
def test_what_is_painted_is_what_a_segment_opens_with(tmp_path: Path, ours: bool) -> None:
    path = volume(tmp_path / "s.zarr", ours=ours)
    labels = opened(path, tmp_path)
    assert labels.version == 1
    paint(labels, box(500, 400, 300, 600), BACKGROUND)
    paint(labels, box(600, 500, 20, 30), INK)
    paint(labels, box(700, 500, 20, 30), UNLABELLED)
    segment = open_segment(path)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[600:620, 500:530] = True
    np.testing.assert_array_equal(segment.raster("ink").read(segment.window), expected)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[500:800, 400:1000] = True
    expected[700:720, 500:530] = False
    np.testing.assert_array_equal(segment.supervised(segment.window), expected)
    assert (path / "labels" / "ink_v1").is_dir() is ours
    assert (tmp_path / "s_inklabels_v1.zarr").is_dir() is not ours
    assert not (tmp_path / "cache").exists()


def test_every_level_follows_and_untouched_chunks_take_no_disk(tmp_path: Path) -> None:
    labels = opened(volume(tmp_path / "s.zarr"), tmp_path)
    assert labels.level_shapes == ((1300, 1300), (650, 650))
    assert not list(tmp_path.glob("s_*/0/c"))
    paint(labels, box(520, 520, 101, 77), INK)
    full = labels.read(box(0, 0, SIDE, SIDE)).classes
    np.testing.assert_array_equal(labels.read_level(1, (slice(None), slice(None))).classes, full[::2, ::2])
    chunks = list(tmp_path.glob("s_*_v1.zarr/0/c/*/*"))
    assert {path.parent.name + path.name for path in chunks} == {"11"}


def test_labels_of_any_form_stay_and_their_content_goes_on(tmp_path: Path) -> None:
    path = volume(tmp_path / "s.zarr")
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[10:20, 10:20] = 180
    ink[30:40, 10:20] = 90
    supervision = np.zeros_like(ink)
    supervision[:600] = 255
    Image.fromarray(ink).save(tmp_path / "s_inklabels_v2.png")
    Image.fromarray(supervision).save(tmp_path / "s_supervision_mask.png")
    before = files(tmp_path)
    labels = opened(path, tmp_path)
    assert labels.version == 3
    whole = labels.read(box(0, 0, SIDE, SIDE))
    np.testing.assert_array_equal(whole.ink, ink)
    np.testing.assert_array_equal(whole.supervision, supervision)
    paint(labels, box(0, 0, 64, 15), INK)
    after = open_segment(path).raster("ink").pixels[0:64, 0:64]
    assert (after[10:20, 10:15] == 180).all()  # soft values stay where the class does
    assert (after[30:40, 10:15] == 255).all()
    assert (after[30:40, 15:20] == 90).all()
    assert before.items() <= files(tmp_path).items()


def test_labels_within_a_phantom_go_on_as_a_version(tmp_path: Path) -> None:
    path = tmp_path / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(192, 256), layers=8)))
    segment = open_segment(path)
    labels = opened(path, tmp_path)
    np.testing.assert_array_equal(labels.read(box(0, 0, 192, 256)).ink, segment.raster("ink").pixels[0:192, 0:256])
    assert labels.labels.ink == path / "labels" / "ink_v1"
    paint(labels, box(0, 0, 10, 10), INK)
    again = open_segment(path)
    assert again.raster("ink").source.endswith("ink_v1")
    assert again.supervised(again.window)[:10, :10].all()
    np.testing.assert_array_equal(
        segment.raster("ink").digest(), open_segment(path, ink=path / "labels/ink").raster("ink").digest()
    )


def test_opening_again_goes_on_with_the_painted_version(tmp_path: Path) -> None:
    path = volume(tmp_path / "s.zarr")
    paint(opened(path, tmp_path), box(0, 0, 9, 9), INK)
    labels = opened(path, tmp_path)
    assert labels.version == 1
    assert (labels.read(box(0, 0, 9, 9)).classes == INK).all()


def test_a_kept_version_never_changes(tmp_path: Path) -> None:
    path = volume(tmp_path / "s.zarr", ours=True)
    labels = opened(path, tmp_path)
    paint(labels, box(0, 0, 900, 900), BACKGROUND)
    kept = labels.keep()
    before = files(path / "labels" / "ink_v1") | files(path / "labels" / "supervision_v1")
    assert labels.version == 1
    assert open_segment(path).raster("ink").source.endswith("_v1")
    paint(labels, box(0, 0, 50, 50), INK)
    paint(labels, box(600, 600, 50, 50), UNLABELLED)
    assert labels.version == 2
    assert files(path / "labels" / "ink_v1") | files(path / "labels" / "supervision_v1") == before
    frozen = open_segment(path, ink=kept.ink, supervision=kept.supervision)
    assert not frozen.raster("ink").read(frozen.window).any()
    now = open_segment(path)
    assert now.raster("ink").source.endswith("ink_v2")
    assert now.raster("ink").read(now.window).sum() == 2500
    assert now.supervised(now.window).sum() == 900 * 900 - 2500
    untouched = ("labels/supervision_v1/0/c/0/1", "labels/supervision_v2/0/c/0/1")
    assert len({(path / name).stat().st_ino for name in untouched}) == 1  # a second name, not a second copy


def test_a_kill_leaves_each_pixel_with_a_class_it_had_or_was_given(tmp_path: Path, monkeypatch: Any) -> None:
    """Stop after every single write there is; whoever opens then finds no class that nobody painted."""
    rng = np.random.default_rng(0)
    path = volume(tmp_path / "s.zarr")
    first, second = (rng.integers(0, 3, (200, 200), dtype=np.uint8) for _ in range(2))
    window = box(450, 450, 200, 200)
    labels = opened(path, tmp_path)
    paint(labels, window, first)
    write = Pyramid.write
    level_write = type(labels._ink.levels[0]).__setitem__  # the smallest step that can be cut off

    class Killed(BaseException):
        pass

    def dies_after(count: int) -> Any:
        left = [count]

        def step(array: Any, key: Any, value: Any) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            level_write(array, key, value)

        return step

    steps = 0
    while True:
        shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}_{steps}"))
        copy = tmp_path.with_name(f"{tmp_path.name}_{steps}")
        victim = opened(copy / "s.zarr", copy)
        with monkeypatch.context() as patched:
            patched.setattr(type(labels._ink.levels[0]), "__setitem__", dies_after(steps))
            try:
                paint(victim, window, second)
            except Killed:
                pass
            else:
                break
        survivor = opened(copy / "s.zarr", copy)
        found = survivor.read(window).classes
        assert ((found == first) | (found == second)).all()
        whole = survivor.read(box(0, 0, SIDE, SIDE))
        halved = survivor.read_level(1, (slice(None), slice(None)))
        np.testing.assert_array_equal(halved.ink, whole.ink[::2, ::2])
        np.testing.assert_array_equal(halved.supervision, whole.supervision[::2, ::2])
        steps += 1
    assert steps >= 4 * 2 * 2
    assert Pyramid.write is write
    np.testing.assert_array_equal(victim.read(window).classes, second)


@pytest.mark.parametrize("missing", ["ink", "supervision"])
def test_a_version_whose_second_raster_never_came_is_completed(tmp_path: Path, missing: str) -> None:
    path = volume(tmp_path / "s.zarr", ours=True)
    labels = opened(path, tmp_path)
    paint(labels, box(0, 0, 90, 90), INK)
    labels.keep()
    paint(labels, box(100, 0, 90, 90), BACKGROUND)
    shutil.rmtree(path / "labels" / f"{missing}_v2")
    again = opened(path, tmp_path)
    assert again.version == 2
    assert (again.read(box(0, 0, 90, 90)).classes == INK).all()


def test_a_kill_while_the_first_version_begins_is_never_read_as_background(tmp_path: Path, monkeypatch: Any) -> None:
    path = volume(tmp_path / "s.zarr")
    import volumen.sources.labels.versions as versions

    made = versions._copy

    def only_one(target: Path, *rest: Any) -> None:
        if made is not None and target.parent.joinpath("done").exists():
            raise KeyboardInterrupt
        made(target, *rest)
        target.parent.joinpath("done").touch()

    monkeypatch.setattr(versions, "_copy", only_one)
    with pytest.raises(KeyboardInterrupt):
        opened(path, tmp_path)
    assert open_segment(path).ink is None


def test_a_full_disk_says_what_to_do_and_the_same_strokes_can_be_written_later(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = volume(tmp_path / "s.zarr")
    labels = opened(path, tmp_path)

    def full(array: Any, key: Any, value: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(type(labels._ink.levels[0]), "__setitem__", full)
        with pytest.raises(OutOfSpaceError, match="strokes are kept in memory"):
            paint(labels, box(0, 0, 9, 9), INK)
    paint(labels, box(0, 0, 9, 9), INK)
    assert (opened(path, tmp_path).read(box(0, 0, 9, 9)).classes == INK).all()


@pytest.mark.parametrize("follows", ["the same strokes", "others", "keep"])
def test_a_disk_that_was_full_between_two_levels_leaves_neither_behind(
    tmp_path: Path, monkeypatch: Any, follows: str
) -> None:
    labels = opened(volume(tmp_path / "s.zarr"), tmp_path)
    coarse = labels._ink.levels[1].shape
    level_write = type(labels._ink.levels[0]).__setitem__

    def full(array: Any, key: Any, value: Any) -> None:
        if array.shape == coarse:
            raise OSError(errno.ENOSPC, "No space left on device")
        level_write(array, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(type(labels._ink.levels[0]), "__setitem__", full)
        with pytest.raises(OutOfSpaceError):
            paint(labels, box(0, 0, 9, 9), INK)
    if follows == "keep":
        labels.keep()
    else:
        labels.write(
            box(0, 0, 9, 9) if follows == "the same strokes" else box(600, 600, 9, 9),
            Patch(*(np.full((9, 9), 255, np.uint8) for _ in range(2))),
            np.ones((9, 9), bool),
        )
    whole = labels.read(box(0, 0, SIDE, SIDE))
    halved = labels.read_level(1, (slice(None), slice(None)))
    assert whole.ink.any()
    np.testing.assert_array_equal(halved.ink, whole.ink[::2, ::2])
    np.testing.assert_array_equal(halved.supervision, whole.supervision[::2, ::2])


def test_deleted_labels_are_not_half_made_again(tmp_path: Path) -> None:
    path = volume(tmp_path / "s.zarr", ours=True)
    labels = opened(path, tmp_path)
    shutil.rmtree(path)
    with pytest.raises(SourceNotFoundError, match="still in memory"):
        paint(labels, box(0, 0, 9, 9), INK)
    assert not path.exists()


def test_where_nothing_can_be_written_labels_are_kept_elsewhere(tmp_path: Path, monkeypatch: Any) -> None:
    path = volume(tmp_path / "s.zarr")
    monkeypatch.setattr("volumen.sources.labels.versions.os.access", lambda *_: False)
    before = files(tmp_path)
    labels = opened(path, tmp_path)
    paint(labels, box(0, 0, 9, 9), INK)
    assert (tmp_path / "cache") in labels.labels.ink.parents
    assert {name for name in files(tmp_path) if not name.startswith("cache")} == set(before)
    assert (opened(path, tmp_path).read(box(0, 0, 9, 9)).classes == INK).all()
    segment = open_segment(path, ink=labels.labels.ink, supervision=labels.labels.supervision)
    assert segment.raster("ink").read(segment.window).sum() == 81


def test_kept_elsewhere_the_labels_of_one_folder_are_not_those_of_another(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("volumen.sources.labels.versions.os.access", lambda *_: False)
    homes = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        volume(tmp_path / folder / "s.zarr")
        monkeypatch.chdir(tmp_path / folder)
        homes.add(LabelHome.of(open_segment("s.zarr"), elsewhere=tmp_path / "cache"))
        homes.add(LabelHome.of(open_segment(tmp_path / folder / "s.zarr"), elsewhere=tmp_path / "cache"))
    assert len(homes) == 2


def test_a_folder_of_layers_gets_its_labels_beside_the_layers(tmp_path: Path) -> None:
    layers = tmp_path / "20230827161847" / "layers"
    layers.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(np.full((300, 200), index, np.uint8)).save(layers / f"{index:02}.tif")
    labels = opened(layers.parent, tmp_path)
    assert labels.labels.ink == layers.parent / "20230827161847_inklabels_v1.zarr"
    paint(labels, box(0, 0, 9, 9), INK)
    for path in (layers, layers.parent):
        segment = open_segment(path)
        assert segment.raster("ink").read(segment.window).sum() == 81


def test_classes_are_told_apart_at_one_half() -> None:
    assert classes_of(np.uint8([127, 128, 255]), np.uint8([255, 255, 127])).tolist() == [1, 2, 0]
