import copy

import pytest
import torch

from volumen.models.encoders import freeze, is_frozen, measure_norms, thaw
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


def test_measured_norms_are_those_of_the_images_and_nothing_else_changes():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5)).double()
    module[1].momentum = 0.3
    freeze(module)
    before = bytes_of(module)
    batches = [torch.randn(5, 3, 8, 8, dtype=torch.float64) + shift for shift in (0, 2, 7)]
    measure_norms(module, ((batch,) for batch in batches))
    maps = [module[0](batch).transpose(0, 1).flatten(1).detach() for batch in batches]  # NCHW -> C × (N·H·W)
    torch.testing.assert_close(module[1].running_mean, torch.stack([each.mean(dim=1) for each in maps]).mean(dim=0))
    torch.testing.assert_close(module[1].running_var, torch.stack([each.var(dim=1) for each in maps]).mean(dim=0))
    after = bytes_of(module)
    assert {key for key in after if after[key] != before[key]} == {
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }
    assert module[1].momentum == 0.3
    assert not any(part.training for part in module.modules())


def test_measured_norms_normalise_what_the_encoder_sees():
    torch.manual_seed(0)
    encoder = build_unet("resnet18", 3).encoder
    images = torch.randn(8, 3, 64, 64) * 3 + 2
    measure_norms(encoder, [(images,)])
    assert encoder.training
    encoder.eval()
    with torch.no_grad():
        stem = encoder.bn1(encoder.conv1(images))
    torch.testing.assert_close(stem.mean(dim=(0, 2, 3)), torch.zeros(64), rtol=0, atol=1e-4)
    torch.testing.assert_close(stem.std(dim=(0, 2, 3)), torch.ones(64), rtol=0.02, atol=0)
