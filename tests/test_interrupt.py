"""An interrupt ends work between two events, where it can put itself in order."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from volumen.cli.interrupt import until_interrupted
from volumen.events import Finished, Stepped

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are interrupted otherwise there")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def work(told: list[str]):
    try:
        for done in range(1, 6):
            told.append(f"began {done}")
            if done == 3:
                interrupt()
            told.append(f"ended {done}")
            yield Stepped(done=done, total=5)
        yield Finished()
    except GeneratorExit:
        told.append("saved")
        raise


def test_a_step_is_ended_and_its_generator_closed() -> None:
    told, seen = [], []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        seen.extend(event.done for event in until_interrupted(work(told)))
    assert told[-3:] == ["began 3", "ended 3", "saved"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_does_not_wait() -> None:
    def stubborn():
        interrupt()
        interrupt()
        raise AssertionError("came this far")
        yield Finished()

    with pytest.raises(KeyboardInterrupt):
        list(until_interrupted(stubborn()))


def test_work_that_is_over_is_not_undone() -> None:
    def late():
        yield Stepped(done=1, total=1)
        yield Finished()

    events = []
    for event in until_interrupted(late()):
        events.append(event)
        if isinstance(event, Finished):
            interrupt()
    assert isinstance(events[-1], Finished)


def test_threads_just_pass_events_on() -> None:
    events = []

    def listen() -> None:
        events.extend(until_interrupted(iter([Stepped(done=1, total=1), Finished()])))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert len(events) == 2
