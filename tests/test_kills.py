"""Killed at any moment, convert, finetune, predict and index go on and end with what an unbroken run ends with."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from volumen.events import Stepped, result
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder
from volumen.settings import Phantom
from volumen.sources.phantom import make_phantom
from volumen.training.run import Run

KILLS = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    path = tmp_path_factory.mktemp("kills") / "phantom.zarr"
    result(make_phantom(Phantom(out=str(path), size=(512, 768), layers=24, seed=3)))
    return path


def volumen(*arguments):
    return [sys.executable, "-m", "volumen", *map(str, arguments), "--json"]


def run_to_the_end(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def killed(command, rng, events):
    """Kill a command a moment after it has told a random number of events; say whether it was still at work."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(int(rng.integers(events))):
        if not process.stdout.readline():
            break
    try:
        process.wait(timeout=float(rng.uniform(0, 0.2)))
    except subprocess.TimeoutExpired:
        process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -9), errors.decode()
    return process.returncode == -9


def break_often(begin, go_on, output, same, *, events):
    """Begin again whenever a run came to its end before the kills were over; compare at every end."""
    rng = np.random.default_rng(0)
    kills = 0
    while kills < KILLS:
        command = go_on if output.exists() or list(output.parent.glob(f"*{output.name}*")) else begin
        if killed(command, rng, events):
            kills += 1
        else:
            same()
            shutil.rmtree(output)
    run_to_the_end(go_on if list(output.parent.glob(f"*{output.name}*")) else begin)
    same()


def two_places(folder, name):
    """Return paths for an unbroken and a broken output of one name, which some outputs record."""
    for place in ("whole", "broken"):
        (folder / place).mkdir()
    return folder / "whole" / name, folder / "broken" / name


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_convert(segment, tmp_path):
    whole, broken = two_places(tmp_path, "out.zarr")
    options = ("--chunk", "8,64,64", "--memory-gb", "0.002")
    run_to_the_end(volumen("convert", segment, whole, *options))
    command = volumen("convert", segment, broken, *options, "--resume")

    def same():
        assert files(broken) == files(whole)

    break_often(command, command, broken, same, events=30)


def test_predict(segment, tmp_path):
    training = ("--window", 96, "--encoder-name", "resnet18", "--epochs", 1, "--batch", 8, "--device", "cpu")
    run_to_the_end(volumen("finetune", segment, "--out", tmp_path / "model", *training))
    whole, broken = two_places(tmp_path, "out.zarr")
    options = ("--tile", 128, "--overlap", 32, "--device", "cpu", "--resume")
    run_to_the_end(volumen("predict", tmp_path / "model", segment, "--out", whole, *options))
    command = volumen("predict", tmp_path / "model", segment, "--out", broken, *options)

    def same():
        assert files(broken) == files(whole)

    break_often(command, command, broken, same, events=60)


def test_index(segment, tmp_path):
    torch.manual_seed(0)
    encoder, architecture = tmp_path / "encoder.safetensors", {"encoder_name": "resnet18", "in_channels": 8}
    save_encoder(encoder, build_encoder(**architecture), architecture, {"layer_count": 8})
    whole, broken = two_places(tmp_path, "index")
    options = ("--encoder", encoder, "--stride", 48, "--batch", 8, "--device", "cpu")
    run_to_the_end(volumen("index", segment, "--out", whole, *options))
    command = volumen("index", segment, "--out", broken, *options)

    def same():
        assert files(broken) == files(whole)

    break_often(command, command, broken, same, events=20)


def test_finetune(segment, tmp_path):
    options = ("--window", 64, "--encoder-name", "resnet18", "--epochs", 3, "--batch", 16, "--device", "cpu")
    options += ("--save-seconds", 0)
    whole, broken = two_places(tmp_path, "run")
    run_to_the_end(volumen("finetune", segment, "--out", whole, *options))

    def same():
        assert (broken / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
        ours, theirs = Run.open(broken), Run.open(whole)
        for (name, found), (_, expected) in zip(flat(ours.load_state()), flat(theirs.load_state()), strict=True):
            assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected)), name
        assert losses(ours) == losses(theirs)

    begin = volumen("finetune", segment, "--out", broken, *options)
    break_often(begin, volumen("resume", broken), broken, same, events=20)


def flat(state, name=""):
    """Lay a state out as pairs of a name and a tensor or number."""
    if isinstance(state, dict):
        return [pair for key, value in state.items() for pair in flat(value, f"{name}.{key}")]
    if isinstance(state, list | tuple):
        return [pair for key, value in enumerate(state) for pair in flat(value, f"{name}.{key}")]
    return [] if state is None or isinstance(state, str) else [(name, state)]


def losses(run):
    return [(event.done, event.values["loss"]) for event in run.events() if isinstance(event, Stepped)]
