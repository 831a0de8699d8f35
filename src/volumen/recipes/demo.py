"""The main job on a synthetic segment, with settings small enough for two CPU cores and a coffee."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from volumen import settings as choose
from volumen.events import Finished, relay
from volumen.recipes.evaluate import evaluate
from volumen.recipes.finetune import finetune
from volumen.recipes.infer import predict
from volumen.recipes.report import report
from volumen.sources.synthetic.phantom import make_phantom
from volumen.whole_files import refuse_existing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event

_SIDE = 1024
_TRAINED = 768
"""Side of the segment, and where the held-out part begins, in pixels."""


def demo(settings: choose.Demo) -> Iterator[Event]:
    """Make a segment, learn from its left part, predict all of it, score the right part, and report.

    Raises
    ------
    OutputExistsError
        The folder is there already and ``overwrite`` was not asked for.
    """
    begun = time.monotonic()
    out = Path(settings.out)
    if out.exists() and any(out.iterdir()):
        refuse_existing(out, overwrite=settings.overwrite)
    out.mkdir(parents=True, exist_ok=True)
    segment, run, ink_map, page = (str(out / name) for name in ("phantom.zarr", "run", "ink.zarr", "report"))
    again = settings.overwrite

    phantom = choose.Phantom(out=segment, size=(_SIDE, _SIDE), seed=settings.seed, overwrite=again)
    yield from relay(make_phantom(phantom))
    training = choose.Finetune(
        segments=(segment,),
        out=run,
        held_out_region=(0, _SIDE, _TRAINED, _SIDE),
        window=160,
        input_size=128,
        resized_crop=False,
        views="flips",
        encoder_name="resnet18",
        epochs=20,
        batch=8,
        learning_rate=2e-3,
        seed=settings.seed,
        device=settings.device,
        overwrite=again,
    )
    trained = yield from relay(finetune(training))
    prediction = choose.Predict(checkpoint=run, segment=segment, out=ink_map, device=settings.device, overwrite=again)
    yield from relay(predict(prediction))
    scoring = choose.Evaluate(prediction=ink_map, segment=segment, block=64, out=str(Path(run) / "scores.json"))
    scores = yield from relay(evaluate(scoring))
    shown = yield from relay(report(choose.Report(runs=(run,), out=page, predictions=(ink_map,))))
    yield Finished(
        result={
            **{name: scores["held_out"][name] for name in ("auc", "auc_low", "auc_high", "f05", "threshold")},
            "epochs": trained["epochs"],
            "seconds": time.monotonic() - begun,
            "report": shown["path"],
        }
    )
