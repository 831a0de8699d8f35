"""Events survive the way through JSON, and results come out at the end of a generator."""

import json

import numpy as np
import pytest

from volumen.errors import VolumenError
from volumen.events import (
    Finished,
    Saved,
    Scored,
    Started,
    Stepped,
    TileWritten,
    Transcribed,
    Warned,
    from_json,
    relay,
    result,
    to_json,
)

EVENTS = [
    Started(work="train", total=3, unit="steps", device="cpu", detail={"crops": 7}),
    Stepped(done=1, total=3, values={"loss": 0.5}),
    Scored(step=1, scores={"auc": 0.9}, best=True),
    TileWritten(done=1, total=4, box=(0, 512, 512, 1024)),
    Transcribed(done=2, total=9, name="letter 1/l2", text="Dec 21/95 — “né”", confidence=0.25),
    Saved(path="run/best.safetensors", what="checkpoint"),
    Warned(message="no mask: ünlabelled"),
    Finished(result={"auc": 0.9, "scopes": {"held_out": [1, 2]}}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_json_brings_the_same_event_back(event):
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


def test_numbers_of_numpy_become_plain_and_nan_becomes_null():
    line = to_json(Finished(result={"auc": np.float32(0.5), "count": np.int64(3), "dice": float("nan")}))
    assert json.loads(line) == {"event": "finished", "result": {"auc": 0.5, "count": 3, "dice": None}}


def test_result_is_that_of_the_last_event():
    assert result(iter(EVENTS)) == {"auc": 0.9, "scopes": {"held_out": [1, 2]}}
    with pytest.raises(VolumenError, match="without finishing"):
        result(iter(EVENTS[:-1]))


def test_relay_passes_all_but_the_finished_event():
    def whole():
        part = yield from relay(iter(EVENTS))
        yield Finished(result={"part": part["auc"]})

    *passed, last = whole()
    assert passed == EVENTS[:-1]
    assert last.result == {"part": 0.9}
