"""Child processes: killed with -9 at random moments, and two of them training together."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_lesson import STEPS, Lesson, same, story, weights_of

from volumen.events import Stepped
from volumen.training.run import Run

SCRIPT = Path(__file__).with_name("small_lesson.py")


def start(run: Path, *options: str) -> subprocess.Popen[str]:
    # as many threads as this process has: sums are the same only in the same order
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(SCRIPT), str(run), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def kill_after(process: subprocess.Popen[str], lines: int) -> None:
    for _ in range(lines):
        if not process.stdout.readline():
            break
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("unbroken") / "run", {"verb": "lesson"})
    list(Lesson(save_seconds=0).train(run))
    return run


def kill_and_compare(path: Path, unbroken: Run, kills: int) -> None:
    draw = random.Random(5)
    for _ in range(kills):
        kill_after(start(path, "--pause", "0.02"), draw.randrange(1, 8))
    last = start(path)
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    broken = Run.open(path)
    assert same(weights_of(unbroken), weights_of(broken))
    assert same(load_file(unbroken.best_path), load_file(broken.best_path))
    assert story(unbroken) == story(broken)


def test_killed_ends_with_the_same_weights(tmp_path: Path, unbroken: Run) -> None:
    kill_and_compare(tmp_path / "run", unbroken, kills=1)


@pytest.mark.slow
def test_killed_eight_times_ends_with_the_same_weights(tmp_path: Path, unbroken: Run) -> None:
    kill_and_compare(tmp_path / "run", unbroken, kills=8)


def losses_of(run: Run) -> list[float]:
    return [event.values["loss"] for event in run.events() if isinstance(event, Stepped)]


@pytest.mark.parametrize("norms", [False, True], ids=["mean", "norms and Dice"])
def test_two_processes_train_as_one_does(tmp_path: Path, norms: bool) -> None:
    """Gradients of two halves are those of the whole batch, also where norms and Dice look at all of it."""
    process = start(tmp_path / "two", "--devices", "2", "--plain", *(["--norms"] if norms else []))
    spoken, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    kinds = spoken.split()
    assert kinds.count("Started") == 1, "only rank 0 speaks"
    assert kinds.count("Stepped") == 3 * STEPS
    one, two = Run.create(tmp_path / "one", {}), Run.open(tmp_path / "two")
    list(Lesson(plain=True, norms=norms).train(one))
    assert len(story(two)) == len(kinds)
    for ours, theirs in zip(losses_of(two), losses_of(one), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    expected, got = weights_of(one), weights_of(two)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_killed_end_with_the_same_weights(tmp_path: Path) -> None:
    unbroken = start(tmp_path / "unbroken", "--devices", "2")
    _, errors = unbroken.communicate(timeout=300)
    assert unbroken.returncode == 0, errors
    for lines in (3, 8):
        kill_after(start(tmp_path / "broken", "--devices", "2", "--pause", "0.05"), lines)
        wait_for_the_others(tmp_path / "broken")
    last = start(tmp_path / "broken", "--devices", "2")
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    runs = [Run.open(tmp_path / name) for name in ("unbroken", "broken")]
    assert same(*map(weights_of, runs))
    assert story(runs[0]) == story(runs[1])


def wait_for_the_others(run: Path) -> None:
    """Wait until no process of the run is left, which must come by itself when rank 0 is gone."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("processes are looked for in /proc")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        commands = map(read_or_nothing, Path("/proc").glob("[0-9]*/cmdline"))
        if not any(str(run).encode() in command for command in commands):
            return
        time.sleep(0.2)
    pytest.fail("a process outlived rank 0 by a minute")


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
