"""What people do next with what a verb wrote: said after its result, never to programs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NEXT = {
    "phantom": "check {path}",
    "convert": "check {path}",
    "pretrain spark": "finetune SEGMENT --encoder {run} --out RUN",
    "pretrain photos": "train tagger PHOTOS --encoder {run} --out RUN",
    "finetune": "predict {run} SEGMENT --out ink.zarr",
    "train reader": "read {run} IMAGES",
    "train segmenter": "predict {run} PHOTO --out map.zarr",
    "index": "search {path} --at SEGMENT:Y,X",
}
"""By verb: the one that follows, over the result's own names."""

_LINES = "train reader LINES --encoder {run} --out RUN"


def next_step(verb: str, result: Mapping[str, Any]) -> str | None:
    """Return a command line that goes on from a result; None where nothing in particular does.

    Examples
    --------
    >>> next_step("finetune", {"run": "runs/first"})
    'volumen predict runs/first SEGMENT --out ink.zarr'
    """
    form = NEXT.get(verb) or (_LINES if verb.startswith("pretrain ") else None)
    if form is None or not result:  # of several processes only the first has a result
        return None
    return "volumen " + form.format_map({name: shlex.quote(str(value)) for name, value in result.items()})
