import socket

import pytest
import timm
import torch
import torchvision

from volumen.errors import SettingsError
from volumen.models.encoders import check_name
from volumen.models.unet import build_unet

ENCODERS = ("resnet18", "resnet50", "resnext50_32x4d", "mobilenet_v2", "tu-convnext_atto", "tu-mobilenetv3_small_100")


@pytest.mark.parametrize("encoder_name", ENCODERS)
@pytest.mark.parametrize("in_channels", [1, 3, 20])
def test_any_encoder_takes_any_number_of_layers_and_learns(encoder_name, in_channels):
    model = build_unet(encoder_name, in_channels)
    logits = model(torch.rand(2, in_channels, 64, 32))
    assert logits.shape == (2, 1, 64, 32)
    logits.square().mean().backward()
    first = next(module for module in model.encoder.modules() if isinstance(module, torch.nn.Conv2d))
    assert first.in_channels == in_channels
    # Every input layer is looked at, and the gradient reaches the very first weights.
    assert float(first.weight.grad.abs().amax(dim=(0, 2, 3)).min()) > 0
    assert model.architecture == {"encoder_name": encoder_name, "in_channels": in_channels, "classes": 1}


def test_every_input_layer_and_no_other_image_of_the_batch_reaches_the_output():
    torch.manual_seed(0)
    model = build_unet("resnet18", 5).eval()
    image = torch.rand(2, 5, 64, 64)
    before = model(image)
    for layer in range(5):
        changed = image.clone()
        changed[0, layer] += 0.5
        after = model(changed)
        assert not torch.equal(after[0], before[0])
        torch.testing.assert_close(after[1], before[1])


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_encoder_keys_are_those_of_timm_and_torchvision(name):
    def shapes(module):
        return {key: tuple(value.shape) for key, value in module.state_dict().items() if not key.startswith("fc.")}

    ours = shapes(build_unet(name, 3).encoder)
    assert ours == shapes(timm.create_model(name))
    assert ours == shapes(getattr(torchvision.models, name)())


def test_encoder_features_are_those_of_timm():
    torch.manual_seed(0)
    model = build_unet("resnet18", 3).eval()
    dense = timm.create_model("resnet18", features_only=True).eval()
    dense.load_state_dict(model.encoder.state_dict())
    image = torch.rand(1, 3, 64, 64)
    for ours, theirs in zip(model.encoder(image)[1:], dense(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_building_touches_no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    build_unet("resnet34", 20)
    build_unet("tu-resnet18.a1_in1k", 20)


def test_same_seed_same_weights():
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build_unet("resnet18", 7).state_dict())
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])
    assert not torch.equal(models[0]["encoder.conv1.weight"], models[2]["encoder.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", r"no encoder 'resnet19'\. Near it: resnet18"),
        ("convnext_tiny", "write tu-convnext_tiny"),
        ("tu-convnext_tny", "Near it: tu-convnext_tiny"),
        ("tu-hf-hub:somebody/something", "no encoder"),
        ("tu-vit_tiny_patch16_224", "cannot stand under a U-Net"),
        ("tu-resnet50.nobody", "cannot stand under a U-Net"),
    ],
)
def test_an_encoder_that_will_not_do_is_named_with_the_cure(name, message):
    with pytest.raises(SettingsError, match=message):
        build_unet(name, 20)


def test_a_name_unlike_any_lists_some():
    with pytest.raises(SettingsError, match="Some there are: resnet18"):
        check_name("@@@@", ["resnet18"])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 20, 100, 64), "multiples of 32; got 100 x 64. Pad or cut it, for example to 128 x 64"),
        ((1, 31, 64, 64), r"sees 20 layers .* got shape \(1, 31, 64, 64\)"),
        ((20, 64, 64), "sees 20 layers"),
    ],
)
def test_a_wrong_input_is_refused_in_words(shape, message):
    model = build_unet("resnet18", 20)
    with pytest.raises(SettingsError, match=message):
        model(torch.zeros(shape))


def test_no_channels_are_refused():
    with pytest.raises(SettingsError, match="at least one input"):
        build_unet("resnet18", 0)
