"""Going on from a former model: all of its weights, decoder too, or an error that says what differs."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from volumen.errors import CheckpointError, SourceNotFoundError
from volumen.events import Stepped, result
from volumen.models.checkpoint import load_checkpoint
from volumen.recipes.finetune import Trainee, finetune
from volumen.settings import Finetune


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    ink = np.zeros((128, 192), np.uint8)
    ink[16:112:32] = 255
    ink[17:112:32] = 255
    np.save(folder / "seg.npy", np.random.default_rng(0).integers(0, 255, (8, 128, 192), np.uint8))
    np.save(folder / "seg_inklabels.npy", ink)
    return folder


def chosen(data, out, **changes):
    small = {"layers": 4, "window": 64, "encoder_name": "resnet18", "epochs": 1, "batch": 4, "device": "cpu"}
    fields = {"held_out_region": (0, 128, 128, 192), "min_ink": 0.01, **small, **changes}
    label = str(data / "seg_inklabels.npy")
    return Finetune(segments=(str(data / "seg.npy"),), ink=(label,), out=str(data / out), **fields)


@pytest.fixture(scope="module")
def former(data):
    result(finetune(chosen(data, "former")))
    return data / "former"


@pytest.mark.parametrize("ending", ["", "best.safetensors"])
def test_a_training_begins_with_all_weights_of_the_former(data, former, ending):
    model = Trainee.of(chosen(data, "next", start=str(former / ending), seed=5)).model
    wanted = load_checkpoint(former / "best.safetensors")[0].state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_model_of_another_kind_is_refused_in_words(data, former):
    with pytest.raises(CheckpointError, match="a resnet18 over 4 layers; these settings ask for a resnet18 over 6"):
        Trainee.of(chosen(data, "next", start=str(former), layers=6))


def test_what_is_not_there_is_said(data, tmp_path):
    with pytest.raises(SourceNotFoundError):
        Trainee.of(chosen(data, "next", start=str(tmp_path)))


def test_start_and_encoder_exclude_each_other(data):
    with pytest.raises(ValidationError, match="not both"):
        chosen(data, "next", start="a", encoder="b")


def test_a_given_encoder_may_learn_more_slowly_than_the_rest_and_the_rate_may_rise(data, former):
    slow = {"encoder_lr_mult": 1e-6, "warm_up_epochs": 1, "epochs": 2, "learning_rate": 1e-2}
    told = list(finetune(chosen(data, "slow", encoder=str(former), seed=5, **slow)))
    rates = [event.values["learning_rate"] for event in told if isinstance(event, Stepped)]
    assert rates[0] == pytest.approx(0.005 * 1e-2)
    assert max(rates) == rates[len(rates) // 2] == 1e-2
    begun, ended = (load_checkpoint(data / name / "best.safetensors")[0].state_dict() for name in ("former", "slow"))
    learned = [name for name in begun if "running_" not in name and "num_batches" not in name]
    moved = {name: float((ended[name] - begun[name]).abs().max()) for name in learned}
    assert max(moved[name] for name in learned if name.startswith("encoder.")) < 1e-5
    assert max(moved[name] for name in learned if not name.startswith("encoder.")) > 1e-2


def test_an_encoder_of_random_weights_learns_as_fast_as_the_rest(data):
    runs = [result(finetune(chosen(data, f"random{mult}", encoder_lr_mult=mult))) for mult in (1, 0.1)]
    one, other = (load_checkpoint(told["checkpoint"])[0].state_dict() for told in runs)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
