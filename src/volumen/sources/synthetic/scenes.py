"""Scenes: Chinese text rendered over real photographs, with the corners of every character, as CTW lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from volumen.errors import SettingsError
from volumen.sources.location import Location
from volumen.sources.photos.photo_image import open_photo
from volumen.sources.synthetic.scene_words import OTHERS, WORDS
from volumen.sources.synthetic.sign import FINEST, Sign, flat_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_TRIES = 12  # places that are tried for a sign before it is left away
_LEAST_CONTRAST = 90  # of 255, between the luma of the text and what is behind it
_OUTSIDE = 0.1  # of a sign's sides, that may lie beyond the photograph
_FIRST_CHINESE, _LAST_CHINESE = 0x4E00, 0x9FFF


@dataclass(frozen=True, kw_only=True)
class Scenery:
    """What scenes are made of; a scene depends on the seed and its number alone.

    Parameters
    ----------
    photos
        Image files whose random parts stand behind the text.
    fonts
        TrueType or OpenType fonts with Chinese; ``""`` is Pillow's own, which has none.
    size
        Side of a scene in px.
    signs
        Most signs in a scene; every scene has one at least, if there is room.
    words
        What is written on signs; more often what stands there more often.
    others
        What is written on signs without Chinese: neither marked nor ignored.
    illegible
        How often a scene also has a sign too small and blurred to read, which is to be ignored.
    seed
        Draws everything.

    Examples
    --------
    >>> scenery = Scenery(photos=("street.jpg",), fonts=("NotoSansCJK-Regular.ttc",), seed=0)
    >>> [line["file_name"] for line in write_scenes(scenery, "scenes", count=400)]  # doctest: +SKIP
    ['scene_0000.jpg', ...]
    """

    photos: tuple[str, ...]
    fonts: tuple[str, ...]
    size: int = 512
    signs: int = 4
    words: Sequence[str] = WORDS
    others: Sequence[str] = OTHERS
    illegible: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.photos or not self.fonts or not self.words:
            raise SettingsError("Scenes need photographs to stand on, a font, and words to write; one is missing.")
        if self.size < 64 or self.signs < 1:
            raise SettingsError(f"Scenes are 64 px or more a side, with a sign; got {self.size} px, {self.signs}.")

    def draw(self, number: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Return scene ``number``, YXC RGB, and what CTW's list would say of it, but for the name of its file.

        Raises
        ------
        SourceError, SourceNotFoundError
            A photograph is damaged, or not there.
        """
        random = np.random.default_rng([self.seed, number])
        picture = self._behind(random)
        signs: list[Sign] = []
        read: list[list[dict[str, Any]]] = []
        ignore: list[dict[str, Any]] = []
        for _ in range(int(random.integers(1, self.signs + 1))):
            latin = bool(self.others) and random.random() < 0.2
            sign = self._placed(random, str(random.choice(self.others if latin else self.words)), signs)
            if sign is not None:
                read.append([_character(text, corners) for text, corners in sign.characters()])
        if random.random() < self.illegible:
            sign = self._placed(random, str(random.choice(self.words)), signs, illegible=True)
            if sign is not None:
                ignore.append({"polygon": _plain(sign.whole), "bbox": _box(sign.whole)})
        for sign in signs:
            picture = sign.over(picture)
        noise = random.normal(0, random.uniform(1, 6), (self.size, self.size, 3))
        pixels = np.rint(np.clip(np.asarray(picture) + noise, 0, 255)).astype(np.uint8)
        return pixels, {"width": self.size, "height": self.size, "annotations": read, "ignore": ignore}

    def _behind(self, random: np.random.Generator) -> Image.Image:
        """Cut a random square out of a photograph, perhaps its mirror image, a little darker or lighter."""
        pixels = open_photo(Location.of(str(random.choice(self.photos)))).read()
        height, width = pixels.shape[:2]
        side = max(1, round(min(height, width) * random.uniform(0.45, 1.0)))
        top, left = (int(random.integers(0, length - side + 1)) for length in (height, width))
        part = pixels[top : top + side, left : left + side]
        part = part[:, ::-1] if random.random() < 0.5 else part
        lit = np.clip(part * random.uniform(0.75, 1.2) + random.uniform(-15, 15), 0, 255).astype(np.uint8)
        return Image.fromarray(lit).resize((self.size, self.size), Image.Resampling.LANCZOS)

    def _placed(
        self, random: np.random.Generator, text: str, others: list[Sign], *, illegible: bool = False
    ) -> Sign | None:
        """Draw a sign where none is yet, add it to the others and return it; None where there is no room."""
        small, large = (0.012, 0.022) if illegible else (0.03, 0.12)
        size = max(FINEST, round(self.size * float(np.exp(random.uniform(np.log(small), np.log(large))))))
        panel = _colour(random) if random.random() < 0.65 else None
        ink = _colour(random)
        while panel is not None and abs(_luma(ink) - _luma(panel)) < _LEAST_CONTRAST:
            ink = _colour(random)
        sign = Sign(
            text=text,
            font=str(random.choice(self.fonts)),
            size=size,
            vertical=len(text) > 1 and random.random() < 0.25,
            ink=ink,
            panel=panel,
            opacity=float(random.uniform(0.75, 1.0)),
            stroke=int(panel is None and random.random() < 0.7) * max(1, size // 14),
            corners=np.zeros((4, 2)),
            blur=float(size * random.uniform(0.12, 0.2) if illegible else random.uniform(0, 0.9)),
        )
        for _ in range(_TRIES):
            corners = _seen(random, flat_size(sign), self.size)
            if all(_apart(corners, other.corners) for other in others):
                others.append(replace(sign, corners=corners))
                return others[-1]
        return None


def write_scenes(scenery: Scenery, out: str | Path, *, count: int) -> Iterator[dict[str, Any]]:
    """Write ``count`` scenes below a folder: ``images/scene_NNNN.jpg``, and ``scenes.jsonl`` in CTW's form.

    Yields
    ------
    dict
        The line of each scene, once its image is written.

    Raises
    ------
    SourceError, SourceNotFoundError
        A photograph is damaged, or not there.
    """
    folder = Path(out)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        pixels, known = scenery.draw(number)
        name = f"scene_{number:04d}"
        quality = int(np.random.default_rng([scenery.seed, number, 1]).integers(75, 95))
        Image.fromarray(pixels).save(folder / "images" / f"{name}.jpg", quality=quality)
        lines.append({"file_name": f"{name}.jpg", "image_id": name, **known})
        yield lines[-1]
    listed = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "scenes.jsonl").write_text(listed, encoding="utf-8")


def _seen(random: np.random.Generator, flat: tuple[int, int], side: int) -> NDArray[np.float64]:
    """Draw where the corners of a flat sign are seen: turned, in perspective, mostly inside the photograph."""
    width, height = flat
    angle = np.deg2rad(np.clip(random.normal(0, 8), -25, 25))
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    corners = corners + random.uniform(-0.12, 0.12, (4, 2)) * min(width, height)
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach = np.abs(corners).max(axis=0) * (1 - 2 * _OUTSIDE)
    low, high = np.minimum(reach, side / 2), np.maximum(side - reach, side / 2)
    placed: NDArray[np.float64] = corners + random.uniform(low, high)
    return placed


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the upright boxes around two signs have nothing in common."""
    low = np.maximum(one.min(axis=0), other.min(axis=0))
    high = np.minimum(one.max(axis=0), other.max(axis=0))
    return bool((high <= low).any())


def _character(text: str, corners: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "polygon": _plain(corners),
        "adjusted_bbox": _box(corners),
        "text": text,
        "is_chinese": _FIRST_CHINESE <= ord(text) <= _LAST_CHINESE,
        "attributes": [],
    }


def _plain(corners: NDArray[np.float64]) -> list[list[float]]:
    found: list[list[float]] = corners.round(2).tolist()
    return found


def _box(corners: NDArray[np.float64]) -> list[float]:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return [round(float(part), 2) for part in (left, top, right - left, bottom - top)]


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in random.integers(0, 256, 3))
    return (red, green, blue)


def _luma(colour: tuple[int, int, int]) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue
