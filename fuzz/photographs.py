"""Lists of photographs: CTW's JSON lines, polygons of one photograph as labelme writes them, CSV with tags."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harness import Harness
from pictures import picture
from volumen.sources.photos.read_photos import read_photos

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts

_COLOURS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
_BOX = [[5, 5], [30, 5], [30, 20], [5, 20]]


def _door(name: str, folder: Path) -> None:
    found = read_photos(folder / name)
    str(found), found.tags
    for photo in found.photos:
        photo.pixels()
        photo.supervision()
        if photo.annotated:
            photo.target()


def _given() -> dict[str, bytes]:
    mask = picture(Image.fromarray((_COLOURS[..., 0] > 128).astype(np.uint8)), "PNG")
    return {"a.png": picture(Image.fromarray(_COLOURS), "PNG"), "masks/a.png": mask}


def _ctws() -> Iterator[Parts]:
    character = {"polygon": _BOX, "text": "字", "is_chinese": True, "attributes": []}
    said = {"file_name": "a.png", "width": 50, "height": 40, "image_id": "1", "annotations": [[character, character]]}
    yield (json.dumps(said | {"ignore": [{"polygon": [[0, 0], [9, 0], [9, 9]], "bbox": [0, 0, 9, 9]}]}).encode(),)
    other = said | {"file_name": "gone.png", "annotations": [[character | {"is_chinese": False}]], "ignore": []}
    yield ("\n".join(json.dumps(each) for each in (said, other)).encode() + b"\n",)


def _labelmes() -> Iterator[Parts]:
    shapes = [
        {"label": "字", "points": _BOX, "shape_type": "polygon"},
        {"label": "ignore", "points": [[0, 0], [9, 9]], "shape_type": "rectangle"},
        {"label": "x", "points": [[3, 3], [5, 5]], "shape_type": "circle"},
    ]
    said = {"version": "5", "flags": {"night": True}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    yield (json.dumps(said | {"imageHeight": 40, "imageWidth": 50}).encode(),)
    yield (json.dumps(said | {"flags": None}).encode(),)


def _tables() -> Iterator[Parts]:
    yield (b"image,mask,labels,width,height\na.png,masks/a.png,red|wool,50,40\n",)
    yield (b'image,labels\n"a.png","x, y|z"\ngone.png,\n',)


HARNESSES = {
    name: Harness(
        name=name,
        files=(file,),
        door=partial(_door, file),
        seeds=seeds,
        given=_given,
        words=words,
        points_elsewhere=True,
    )
    for name, file, seeds, words in (
        (
            "ctw jsonl",
            "list.jsonl",
            _ctws,
            ("file_name", "annotations", "polygon", "is_chinese", "ignore", "width", "height"),
        ),
        (
            "polygon json",
            "a.json",
            _labelmes,
            ("imagePath", "shapes", "points", "shape_type", "polygon", "rectangle", "flags", "imageHeight"),
        ),
        (
            "tagged csv",
            "photos.csv",
            _tables,
            ("image,", "mask,", "labels,", "|"),
        ),
    )
}
