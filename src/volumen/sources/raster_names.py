"""What the files of labels and masks beside a volume are called, so that none is taken for a layer or a volume."""

from __future__ import annotations

import re

NAMES = {"ink": "inklabels", "supervision": "supervision_mask", "held_out": "validation_mask", "mask": "mask"}
"""What the files of each raster are called, after ``<id>_``."""

_RASTER_NAME = re.compile(rf"(?:.*_)?(?:{'|'.join(NAMES.values())})(?:(?:_v)?\d+)?\.\w+", re.IGNORECASE)


def names_raster(file: str) -> bool:
    """Say whether a file is called as a raster is, of any segment and version.

    Examples
    --------
    >>> names_raster("20230827161847_inklabels_v2.png"), names_raster("mask.tif"), names_raster("mask_00.tif")
    (True, True, False)
    """
    return _RASTER_NAME.fullmatch(file) is not None
