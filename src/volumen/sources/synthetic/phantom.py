"""make_phantom: write a synthetic segment whose ink is known, for demos, tests and checks of a model's power."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from volumen.errors import SettingsError
from volumen.events import Event, Finished, Saved, Started, Stepped
from volumen.sources.labels.beside import open_raster
from volumen.sources.labels.inside import list_inner_rasters
from volumen.sources.location import Location
from volumen.sources.pyramids.pyramid import Pyramid, check_replaceable, create_pyramid
from volumen.sources.synthetic.letters import Letters
from volumen.sources.synthetic.papyrus import Papyrus
from volumen.sources.synthetic.repeated import Repeated
from volumen.whole_files import refuse_existing
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from volumen.settings.phantom import Phantom

_CHUNKS = (16, 256, 256)
_LABEL_CHUNKS = (256, 256)
_LABELS = ("ink", "mask", "supervision")
# Side of the windows that are made at once, in pixels: 32 layers of it need about 150 MB while they are made.
_SIDE = 256
_LETTER_HEIGHT = 96


def make_phantom(settings: Phantom) -> Iterator[Event]:
    """Write a synthetic segment: a volume with known ink, and its ink, mask and supervision rasters inside.

    A sheet of papyrus of two layers of crossed fibres lies between two others, its surface around layer
    ``layers // 2``, and the layers run from the air into it. Ink shifts the grey of the topmost layers a little and
    gives them the crackle of dried ink; stains of the same grey and crackle at another depth mislead whoever looks at
    only one of the two. Everything is drawn from the seed, window by window, in bounded memory.

    Parameters
    ----------
    settings
        What to make.

    Yields
    ------
    Event
        `Started`, a `Stepped` for each window, `Saved`, and `Finished` with ``path``, ``shape`` (ZYX), ``ink_share``
        and ``background_share`` of the supervised pixels, ``supervised_share`` and ``mask_share`` of all.

    Raises
    ------
    OutputExistsError
        When something is at ``out`` and overwriting is not asked for.
    SourceNotFoundError, LabelError
        When the label raster given is not there, not flat, or empty.
    OutOfSpaceError
        When the disk is full.

    Examples
    --------
    >>> from volumen.events import result
    >>> from volumen.settings import Phantom
    >>> made = result(make_phantom(Phantom(out="phantom.zarr", size=(256, 256))))  # doctest: +SKIP
    >>> made["shape"]  # doctest: +SKIP
    [32, 256, 256]
    """
    out = _output(settings)
    papyrus = papyrus_of(settings)
    draft = out.with_name(f".{out.name}.phantom")
    shutil.rmtree(draft, ignore_errors=True)  # what a killed run left
    try:
        shares = yield from _write(settings, papyrus, draft / out.name)
        if out.exists():
            out.replace(draft / "replaced")
        (draft / out.name).replace(out)
    finally:
        # Also when the caller stops pulling: a phantom is whole or not there.
        shutil.rmtree(draft, ignore_errors=True)
    yield Saved(path=str(out), what="phantom")
    yield Finished(result={"path": str(out), "shape": list(papyrus.shape), **shares})


def papyrus_of(settings: Phantom) -> Papyrus:
    """Return the sheet that the settings describe, nothing of it made yet."""
    ink: Letters | Repeated
    if settings.label is None:
        ink = Letters(seed=settings.seed, height=_LETTER_HEIGHT, share=settings.ink_share)
    else:
        ink = Repeated.richest(open_raster(Location.of(settings.label)), settings.size)
    return Papyrus(
        shape=(settings.layers, *settings.size),
        ink=ink,
        contrast=settings.contrast,
        ink_depth=settings.ink_depth,
        seed=settings.seed,
    )


def _output(settings: Phantom) -> Path:
    """Return where to write; refuse to touch what is there unasked, or what is no image at all."""
    location = Location.of(settings.out)
    if not location.local:
        raise SettingsError(f"The output must be a folder on this machine; got {settings.out}.")
    out = Path(location.path).absolute()
    refuse_existing(out, overwrite=settings.overwrite)
    check_replaceable(out)
    return out


def _write(settings: Phantom, papyrus: Papyrus, image: Path) -> Generator[Event, None, dict[str, float]]:
    """Make and write every window; return what share of the pixels is what."""
    volume, rasters = _create(settings, papyrus, image)
    whole = Window.whole(papyrus.shape)
    windows = [window.clip(papyrus.shape) for window in grid(whole, _SIDE, _SIDE)]
    yield Started(work="phantom", total=len(windows), unit="windows", detail={"shape": list(papyrus.shape)})
    count = _Count()
    for done, window in enumerate(windows, start=1):
        volume.write(window, _whole_numbers(papyrus.read(window), volume.levels[0].dtype))
        ink, mask, supervision = papyrus.label(window), papyrus.mask(window), papyrus.supervision(window)
        for name, values in zip(_LABELS, (ink, mask, supervision), strict=True):
            rasters[name].write(window.layers(0, 1), _whole_numbers(values, np.dtype(np.uint8)))
        count.add(ink, mask, supervision)
        yield Stepped(done=done, total=len(windows))
    list_inner_rasters(image, _LABELS)
    return count.shares()


def _create(settings: Phantom, papyrus: Papyrus, image: Path) -> tuple[Pyramid, dict[str, Pyramid]]:
    """Lay out the empty store."""
    told = settings.model_dump(mode="json", exclude={"out", "overwrite"})
    volume = create_pyramid(
        image,
        shape=papyrus.shape,
        dtype=settings.dtype,
        chunks=_CHUNKS,
        voxel_um=settings.voxel_um,
        attributes={"phantom": told},
    )
    rasters = {
        name: create_pyramid(
            image / "labels" / name,
            shape=papyrus.shape[1:],
            dtype="uint8",
            chunks=_LABEL_CHUNKS,
            axes="yx",
            voxel_um=settings.voxel_um,
            levels=1,
            downsampling="nearest",
            attributes={"raster": name},
        )
        for name in _LABELS
    }
    return volume, rasters


def _whole_numbers(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bring [0, 1] to the range of an unsigned type."""
    return np.rint(values * np.float32(np.iinfo(dtype).max)).astype(dtype)


@dataclass
class _Count:
    """Pixels counted while they are made."""

    pixels: int = 0
    papyrus: int = 0
    supervised: int = 0
    ink: int = 0

    def add(self, ink: NDArray[np.float32], mask: NDArray[np.bool_], supervision: NDArray[np.bool_]) -> None:
        self.pixels += mask.size
        self.papyrus += int(mask.sum())
        self.supervised += int(supervision.sum())
        self.ink += int((ink[supervision] > 0.5).sum())

    def shares(self) -> dict[str, float]:
        supervised = max(1, self.supervised)
        return {
            "ink_share": self.ink / supervised,
            "background_share": (self.supervised - self.ink) / supervised,
            "supervised_share": self.supervised / self.pixels,
            "mask_share": self.papyrus / self.pixels,
        }
