"""Two processes on one run: the second is refused and told who has it; after a kill, anyone may go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from verb_table import EVERY, VERBS

from volumen.errors import InUseError
from volumen.training.run import Run
from volumen.writer import sole_output

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from breaking import Breaker
    from verb import Verb

FINETUNE = next(verb for verb in VERBS if verb.name == "resume")
OUTPUTS = [each for each in EVERY if each.values[0].name in ("convert", "download", "predict", "index")]
RUNS = [each for each in EVERY if each.values[0].claims.__name__ == "run"]


@pytest.fixture
def first(breaker: Breaker) -> Iterator[subprocess.Popen[str]]:
    """Begin a training in a process of its own, and stop it in the middle of it."""
    breaker.home.mkdir(parents=True)
    line = FINETUNE.begins(breaker.inputs, breaker.home / FINETUNE.out)
    command = [sys.executable, "-m", "volumen", *line, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while json.loads(process.stdout.readline())["event"] != "stepped":
            pass
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped and go on the POSIX way")
@pytest.mark.parametrize("way", ["resume", "--resume", "--overwrite"])
def test_the_second_is_told_the_process_of_the_first(breaker: Breaker, first: subprocess.Popen[str], way: str) -> None:
    out = breaker.home / FINETUNE.out
    line = ["resume", str(out)] if way == "resume" else [*FINETUNE.begins(breaker.inputs, out), way]
    before = sorted(path.name for path in out.rglob("*"))
    ended = breaker.commands.run(line, breaker.home)
    assert ended.code == 2, ended.errors
    assert f"process {first.pid} " in ended.errors
    assert sorted(path.name for path in out.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped and go on the POSIX way")
def test_who_was_refused_may_go_on_when_the_first_is_dead(breaker: Breaker, first: subprocess.Popen[str]) -> None:
    first.kill()
    first.wait()
    out = breaker.home / FINETUNE.out
    breaker.commands.run(FINETUNE.goes_on(breaker.inputs, out), breaker.home).well()
    assert FINETUNE.claims(out)


@pytest.mark.parametrize("verb", RUNS)
def test_every_training_asks(breaker: Breaker, verb: Verb) -> None:
    changes = breaker.unbroken(verb).changes
    breaker.begin_or_go_on(verb, kill_at=changes * 2 // 3)
    with Run.open(breaker.home / verb.out).sole_writer():
        assert breaker.begin_or_go_on(verb).code == 2
    breaker.begin_or_go_on(verb).well()
    breaker.check_whole()


def test_a_run_is_free_again_however_its_writer_ended(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"verb": "finetune"})
    with (
        run.sole_writer(),
        pytest.raises(InUseError, match=f"is being written by process {os.getpid()} "),
        run.sole_writer(),
    ):
        pass
    with pytest.raises(ZeroDivisionError), run.sole_writer():
        raise ZeroDivisionError
    with run.sole_writer():
        assert run.load_state() is None


@pytest.mark.parametrize("verb", OUTPUTS)
def test_every_long_output_asks(breaker: Breaker, verb: Verb) -> None:
    changes = breaker.unbroken(verb).changes
    breaker.begin_or_go_on(verb, kill_at=changes * 2 // 3)
    out = breaker.home / verb.out
    with sole_output(out / "20230827161847" if verb.name == "download" else out):
        assert breaker.begin_or_go_on(verb).code == 2
    breaker.begin_or_go_on(verb).well()
    assert not list(breaker.home.rglob(".*.writing"))
