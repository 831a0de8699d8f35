"""Jobs are processes that end when told to, outlive whoever started them, and leave words when they die."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("psutil", reason="needs the extra [napari]")

from volumen.errors import SourceError, SourceNotFoundError
from volumen.events import Finished, Started, Stepped, Warned, to_json
from volumen.plugin.child import Child
from volumen.plugin.jobs import Job, bunches, find_jobs
from volumen.settings import Convert, Finetune, Phantom, Resume
from volumen.settings.job_file import JobFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from volumen.settings.base import Settings

SMALL = {"size": (96, 96), "layers": 8}
LARGE = {"size": (6000, 6000), "layers": 8}  # many small steps


def events_of(job: Job) -> list:
    return [event for event in job.follow() if event is not None]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def past_job(runs: Path, verb: str, settings: Settings, *lines: str, errors: str = "", **process: object) -> Job:
    """Make the folder of a job whose process is gone, as another napari would find it."""
    folder = runs / ".jobs" / f"{len(list(runs.glob('.jobs/*'))):03d}"
    folder.mkdir(parents=True)
    JobFile(verb, settings).write(folder)
    gone = {"pid": 2**22 + 1, "started": 1.0, "host": os.uname().nodename if hasattr(os, "uname") else ""}
    (folder / "process.json").write_text(json.dumps({**gone, **process}))
    (folder / "events.jsonl").write_text("".join(line + "\n" for line in lines))
    (folder / "errors.txt").write_text(errors)
    return Job.open(folder)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Job]:
    """Return a job that goes on until it is stopped."""
    job = Job.start("phantom", Phantom(out=str(tmp_path / "large.zarr"), **LARGE), runs=tmp_path)
    yield job
    job.child.stop()
    wait_for(lambda: not job.child.alive)


def test_a_job_is_done_and_tells_everything_once(tmp_path: Path) -> None:
    job = Job.start("phantom", Phantom(out=str(tmp_path / "a b.zarr"), **SMALL), runs=tmp_path / "runs")
    told = events_of(job)
    assert isinstance(told[0], Started)
    assert isinstance(told[-1], Finished)
    assert events_of(job) == told, "from the start again, for whoever comes later"
    assert (job.state, job.error) == ("finished", "")
    assert job.out == tmp_path / "a b.zarr"
    assert job.out.is_dir()
    assert job.command == f"volumen phantom '{tmp_path}/a b.zarr' --size 96,96 --layers 8"
    assert find_jobs(tmp_path / "runs") == [job]
    assert Job.open(job.folder).settings == job.settings
    assert job.runs == tmp_path / "runs"


def test_relative_paths_are_those_of_whoever_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job.start("phantom", Phantom(out="here.zarr", **SMALL), runs=tmp_path / "runs")
    events_of(job)
    assert job.settings.out == str(tmp_path / "here.zarr")
    assert (tmp_path / "here.zarr").is_dir()


def test_a_stray_file_in_the_folder_of_the_window_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('taken from the wrong folder')")
    monkeypatch.chdir(tmp_path)
    job = Job.start("phantom", Phantom(out="p.zarr", **SMALL), runs=tmp_path)
    assert isinstance(events_of(job)[-1], Finished)


def test_a_wrong_setting_is_told_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "there.zarr").mkdir()
    (tmp_path / "there.zarr" / "precious").touch()
    job = Job.start("phantom", Phantom(out=str(tmp_path / "there.zarr"), **SMALL), runs=tmp_path)
    assert events_of(job) == []
    assert job.state == "failed"
    assert job.error.startswith(f"{tmp_path / 'there.zarr'} is already there")
    assert "Traceback" not in job.error


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are another thing there")
def test_cancelled_between_two_steps_and_said_so(large: Job) -> None:
    told = large.follow()
    while not isinstance(next(told), Stepped):
        pass
    assert large.state == "running"
    large.cancel()
    rest = [event for event in told if event is not None]
    assert large.state == "stopped"
    assert large.error == ""
    assert not any(isinstance(event, Finished) for event in rest)
    assert (large.folder / "exit_code").read_text() == "130", "it ended by itself, and was not killed"
    large.cancel()  # of a job that is over it does nothing


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are another thing there")
def test_stopping_takes_the_exit_code_from_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = threading.Event()
    wait = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", lambda process: (late.wait(60), wait(process))[1])
    listens = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); "
    codes: list[int] = []
    child = Child.start(
        [sys.executable, "-c", f"{listens} print('hears', flush=True); time.sleep(600)"],
        stdout=tmp_path / "out",
        stderr=tmp_path / "err",
        ended=codes.append,
    )
    wait_for(lambda: (tmp_path / "out").read_text() == "hears\n")
    child.stop()
    wait_for(lambda: not any(thread.name == f"stop {child.pid}" for thread in threading.enumerate()))
    late.set()
    wait_for(lambda: codes)
    assert codes == [7]


DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are another thing there")
def test_a_process_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEAF!r}])"
    codes: list[int] = []
    child = Child.start(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {parent}"],
        stdout=tmp_path / "out",
        stderr=tmp_path / "err",
        ended=codes.append,
    )
    wait_for(lambda: (tmp_path / "out").read_text() == "deaf\n")
    import psutil

    (grandchild,) = psutil.Process(child.pid).children()
    child.stop()
    assert child.alive, "it returns at once"
    wait_for(lambda: codes)
    assert codes == [-signal.SIGKILL]
    wait_for(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_words(large: Job) -> None:
    wait_for(lambda: any(isinstance(event, Stepped) for event in next(bunches(large.follow()))))
    os.kill(large.child.pid, signal.SIGKILL)
    wait_for(lambda: (large.folder / "exit_code").exists())
    assert large.state == "failed"
    assert "without a word (killed, perhaps because the machine ran out of memory)" in large.error


def test_after_a_restart_of_the_machine_nobody_knows_how_it_ended(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    settings = Finetune(segments=("/data/s.zarr",), out=str(run))
    job = past_job(tmp_path, "finetune", settings, to_json(Stepped(done=1, total=9)))
    assert job.state == "failed"
    assert job.error == (
        "The job's process ended without a word (killed, or the machine was restarted). "
        "Nothing was saved yet: start it again."
    )
    assert job.continuation == ("finetune", settings)
    (run / "recipe.json").write_text("{}")
    assert job.error.endswith("Resume goes on from what was saved last.")
    assert job.continuation == ("resume", Resume(run=str(run)))


def test_what_can_be_resumed_by_its_own_verb_is(tmp_path: Path) -> None:
    settings = Convert(source="/data/layers", out=str(tmp_path / "scan.zarr"), overwrite=True)
    job = past_job(tmp_path, "convert", settings)
    assert job.continuation == ("convert", settings)
    (tmp_path / "scan.zarr").mkdir()
    assert job.continuation == ("convert", settings.model_copy(update={"resume": True, "overwrite": False}))


def test_a_break_down_names_the_last_line_and_where_the_story_is(tmp_path: Path) -> None:
    warned = "UserWarning: ört\n" * 5_000
    story = f"{warned}Traceback (most recent call last):\n  File x\nZeroDivisionError: division by zero\n"
    job = past_job(tmp_path, "resume", Resume(run="/r"), errors=story)
    assert "ZeroDivisionError: division by zero" in job.error
    assert str(job.folder / "errors.txt") in job.error


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = past_job(tmp_path, "resume", Resume(run="/r"))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("volumen.plugin.last_words.shutil.disk_usage", lambda _: usage)
    assert "is full. Make room first." in job.error


def test_a_number_that_was_given_to_another_process_is_not_the_job(tmp_path: Path) -> None:
    job = past_job(tmp_path, "resume", Resume(run="/r"), pid=os.getpid())
    assert job.state == "failed"
    job.cancel()  # must not touch this process
    assert not (job.folder / "stopped").exists()


def test_a_job_of_another_machine_runs_as_long_as_it_is_heard_of(tmp_path: Path) -> None:
    job = past_job(tmp_path, "resume", Resume(run="/r"), host="elsewhere", pid=os.getpid())
    assert job.state == "running"
    with pytest.raises(SourceError, match="runs on elsewhere; stop it there"):
        job.cancel()
    long_ago = time.time() - 3600
    os.utime(job.folder / "events.jsonl", (long_ago, long_ago))
    assert job.state == "failed"


def test_a_folder_that_was_deleted_meanwhile(large: Job) -> None:
    wait_for(lambda: any(isinstance(event, Stepped) for event in next(bunches(large.follow()))))
    shutil.rmtree(large.folder)
    assert large.state == "running"
    large.cancel()
    events_of(large)
    assert large.state == "failed"
    assert "was deleted while it ran" in large.error


def test_what_is_no_job_is_left_out(tmp_path: Path) -> None:
    good = past_job(tmp_path, "resume", Resume(run="/r"))
    for name, text in (("damaged", "{"), ("of a later version", '{"verb": "sing", "settings": {}}')):
        (tmp_path / ".jobs" / name).mkdir()
        (tmp_path / ".jobs" / name / "job.json").write_text(text)
    never = tmp_path / ".jobs" / "never started"
    never.mkdir()
    JobFile("resume", Resume(run="/r")).write(never)
    assert find_jobs(tmp_path) == [good]
    with pytest.raises(SourceNotFoundError, match="never started"):
        Job.open(never)
    assert find_jobs(tmp_path / "nowhere") == []


def test_a_runs_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="Choose another runs folder"):
        Job.start("phantom", Phantom(out="x"), runs=tmp_path / "file")


def test_a_job_that_nobody_could_find_again_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = []
    begin = Child.start

    def start(*arguments: object, **options: object) -> Child:
        children.append(begin(*arguments, **options))
        return children[-1]

    def full(path: Path, content: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Child, "start", start)
    monkeypatch.setattr("volumen.plugin.jobs.write_whole", full)
    with pytest.raises(SourceError, match="No space left"):
        Job.start("phantom", Phantom(out=str(tmp_path / "large.zarr"), **LARGE), runs=tmp_path)
    try:
        until = time.monotonic() + 10
        while children[0].alive and time.monotonic() < until:
            time.sleep(0.02)
        assert not children[0].alive
    finally:
        children[0].stop()


def test_a_long_story_comes_in_bunches_and_whole(tmp_path: Path) -> None:
    lines = [to_json(Stepped(done=done, total=1000)) for done in range(1000)]
    job = past_job(tmp_path, "resume", Resume(run="/r"), *lines, "a banner", to_json(Finished()))
    parts = list(bunches(job.follow(), most=300))
    assert max(map(len, parts)) == 300
    told = [event for part in parts for event in part]
    assert [event.done for event in told[:-2]] == list(range(1000))
    assert told[-2:] == [Warned(message="The process also said: a banner"), Finished()]
    assert job.state == "finished"


def test_a_job_outlives_whoever_started_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from volumen.plugin.jobs import Job; from volumen.settings import Phantom; "
        f"runs = pathlib.Path({str(tmp_path)!r}); "
        "Job.start('phantom', Phantom(out=str(runs / 'p.zarr'), size=(600, 600), layers=8), runs=runs)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    (job,) = find_jobs(tmp_path)
    assert isinstance(events_of(job)[-1], Finished)
    assert job.state == "finished"
