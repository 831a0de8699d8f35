import copy

import pytest
import torch

from volumen.models.encoders import freeze, is_frozen, thaw
from volumen.models.unet import build_unet


def bytes_of(module):
    return {key: value.numpy().tobytes() for key, value in module.state_dict().items()}


def step(model):
    """One training step, with the mode set as every loop sets it."""
    model.train()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["resnet18", "tu-mobilenetv3_small_100"])
def test_a_frozen_encoder_is_byte_identical_after_training(name):
    model = build_unet(name, 3)
    freeze(model.encoder)
    before, decoder = bytes_of(model.encoder), bytes_of(model.decoder)
    for _ in range(2):
        step(model)
    assert bytes_of(model.encoder) == before
    assert bytes_of(model.decoder) != decoder
    assert all(weight.grad is None for weight in model.encoder.parameters())


def test_without_freezing_weights_and_statistics_change():
    model = build_unet("resnet18", 3)
    model.encoder.requires_grad_(False)
    before = bytes_of(model.encoder)
    step(model)
    changed = {key for key, value in bytes_of(model.encoder).items() if value != before[key]}
    # The trap: without gradients the weights stay, and the norm statistics drift all the same.
    assert changed
    assert {key.rpartition(".")[2] for key in changed} == {"running_mean", "running_var", "num_batches_tracked"}


def test_every_part_of_a_frozen_encoder_stays_in_evaluation_mode():
    model = build_unet("tu-convnext_atto", 3)
    assert freeze(model.encoder) is model.encoder
    for mode in (True, False, True):
        assert model.train(mode) is model
        assert not any(module.training for module in model.encoder.modules())
        assert all(module.training is mode for module in model.decoder.modules())


def test_a_copy_stays_frozen_on_its_own():
    model = build_unet("resnet18", 3)
    freeze(model.encoder)
    twin = copy.deepcopy(model)
    assert is_frozen(twin.encoder)
    assert twin.encoder.train() is twin.encoder
    before = bytes_of(twin.encoder)
    step(twin)
    assert bytes_of(twin.encoder) == before


def test_thawing_takes_it_back():
    model = build_unet("resnet18", 3)
    freeze(model.encoder)
    thaw(model.encoder)
    assert not is_frozen(model.encoder)
    before = bytes_of(model.encoder)
    step(model)
    changed = {key for key, value in bytes_of(model.encoder).items() if value != before[key]}
    assert changed == set(before)
    model.eval()
    assert not any(module.training for module in model.modules())
