from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.transforms.v2.functional import normalize

from volumen.errors import CheckpointError, SettingsError
from volumen.models.checkpoint import load_checkpoint, save_checkpoint
from volumen.models.custom_unet import CustomUNet
from volumen.models.encoders import freeze
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.standard import standardise
from volumen.models.tagger_checkpoint import save_tagger
from volumen.models.transplant import load_encoder


def test_features_are_what_timm_pools_of_a_standardised_image(tmp_path):
    theirs = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    save_file(theirs.state_dict(), tmp_path / "imagenet.safetensors")
    model = build_photo_encoder("resnet18", 7).eval()
    report = load_encoder(model, tmp_path / "imagenet.safetensors")
    assert report.loaded_share == 1
    image = torch.rand(2, 3, 64, 96)
    seen = normalize(image, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    assert torch.allclose(standardise(image), seen, atol=1e-6)
    with torch.inference_mode():
        assert torch.allclose(model.features(image), theirs(seen), atol=1e-5)
        assert torch.allclose(model(image), model.head(theirs(seen)), atol=1e-5)


def test_without_a_standard_the_encoder_sees_the_image_as_it_is():
    torch.manual_seed(0)
    model = build_photo_encoder("resnet18", 7, standard="none").eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model.features(image), model.encoder(image)[-1].mean(dim=(2, 3)))


def test_features_of_several_maps_stand_side_by_side_and_each_counts_as_much():
    torch.manual_seed(0)
    model = build_photo_encoder("resnet18", 7).eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        found = model.features(image, maps=2)
        seen = model.encoder(model.seen(image))
    assert found.shape == (2, 256 + 512)
    for part, each in zip(found.split([256, 512], dim=1), seen[-2:], strict=True):
        pooled = each.mean(dim=(2, 3)).double()
        assert torch.allclose(part.double(), pooled / pooled.square().sum(dim=1, keepdim=True).sqrt(), atol=1e-6)


def test_the_bottleneck_of_a_custom_unet_is_pooled(tmp_path):
    unet = CustomUNet(width=0.25).eval()
    save_checkpoint(tmp_path / "unet.safetensors", unet, {})
    model = build_photo_encoder("custom_unet", 1, head="mlp", standard="none", width=0.25).eval()
    assert load_encoder(model, tmp_path / "unet.safetensors").loaded_share == 1
    image = torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        assert torch.allclose(model.features(image), unet.extract_features(image).mean(dim=(2, 3)))
    assert build_photo_encoder(**model.architecture).head[0].in_features == 128


@pytest.mark.parametrize("head", ["linear", "mlp", "embedding"])
def test_an_architecture_builds_the_same_model_again(head):
    model = build_photo_encoder("resnet18", 5, head=head).eval()
    again = build_photo_encoder(**model.architecture).eval()
    again.load_state_dict(model.state_dict())
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image), again(image))
        assert model(image).shape == (2, 5)


def test_the_mlp_is_128_wide_and_drops_half_out_in_training_only():
    model = freeze_encoder(build_photo_encoder("resnet18", 1, head="mlp"))
    assert [tuple(weight.shape) for weight in model.head.parameters()] == [(128, 512), (128,), (1, 128), (1,)]
    image = torch.rand(4, 3, 64, 64)
    torch.manual_seed(0)
    first, second = model.train()(image), model(image)
    assert not torch.equal(first, second)
    assert torch.equal(model.eval()(image), model(image))


def test_embeddings_lie_on_the_unit_sphere_and_pass_gradients():
    model = build_photo_encoder("resnet18", 128, head="embedding")
    embeddings = model(torch.rand(3, 3, 64, 64))
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)
    embeddings[:, 0].sum().backward()
    assert model.encoder.conv1.weight.grad.abs().sum() > 0


def test_a_tagger_is_no_segmenter(tmp_path):
    save_tagger(tmp_path / "tagger.safetensors", build_photo_encoder("resnet18", 1), {"tags": ["hat"]})
    with pytest.raises(CheckpointError, match="marks no pixels"):
        load_checkpoint(tmp_path / "tagger.safetensors")


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingsError, match="Heads are"):
        build_photo_encoder("resnet18", 3, head="conv")
    with pytest.raises(SettingsError, match="at least one"):
        build_photo_encoder("resnet18", 0)
    with pytest.raises(SettingsError, match="standardised"):
        build_photo_encoder("resnet18", 3, standard="grey")
    with pytest.raises(SettingsError, match="N3HW"):
        build_photo_encoder("resnet18", 3)(torch.rand(2, 1, 64, 64))


def freeze_encoder(model):
    freeze(model.encoder)
    return model
