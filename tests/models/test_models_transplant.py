import os

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from volumen.errors import CheckpointError, SourceNotFoundError
from volumen.models.checkpoint import load_encoder, save_checkpoint
from volumen.models.unet import build_unet


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(5)
    return timm.create_model("resnet18").state_dict()


def without_head(state):
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "unexpected"),
    [
        (lambda state: state, ["fc.weight", "fc.bias"]),
        (without_head, []),  # SparK's published export
        (lambda state: prefixed(state, "module."), ["module.fc.weight", "module.fc.bias"]),
        (lambda state: prefixed(without_head(state), "encoder."), []),
        (lambda state: {"epoch": 3, "state_dict": prefixed(without_head(state), "module.encoder.")}, []),
        (lambda state: {"model": without_head(state), "optimizer": {"state": {}, "lr": 0.1}}, []),
        (
            lambda state: {
                "module": {**prefixed(without_head(state), "sparse_encoder.sp_cnn."), "dense_decoder.w": torch.ones(3)}
            },
            ["dense_decoder.w"],
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_weights_are_found_under_every_usual_wrapping(tmp_path, dense, wrap, unexpected, suffix):
    torch.save(wrap(dense), tmp_path / f"weights.{suffix}")
    model = build_unet("resnet18", 3)
    report = load_encoder(model, tmp_path / f"weights.{suffix}")
    state = model.encoder.state_dict()
    assert all(torch.equal(state[key], dense[key]) for key in state)
    assert set(report.loaded) == set(state)
    assert report.missing == report.misshapen == ()
    assert list(report.unexpected) == unexpected
    assert report.loaded_share == 1


@pytest.mark.parametrize("legacy", [False, True])
def test_torchvision_and_legacy_files_load(tmp_path, legacy):
    theirs = torchvision.models.resnet50().state_dict()
    torch.save(theirs, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    model = build_unet("resnet50", 3)
    report = load_encoder(model, tmp_path / "w.pth")
    assert report.loaded_share == 1
    assert all(torch.equal(value, theirs[key]) for key, value in model.encoder.state_dict().items())


def test_a_checkpoint_of_ours_gives_its_encoder_and_only_that(tmp_path):
    donor, model = build_unet("resnet18", 20), build_unet("resnet18", 20)
    save_checkpoint(tmp_path / "donor.safetensors", donor, {})
    decoder = {key: value.clone() for key, value in model.decoder.state_dict().items()}
    report = load_encoder(model, tmp_path / "donor.safetensors")
    assert all(torch.equal(value, donor.encoder.state_dict()[key]) for key, value in model.encoder.state_dict().items())
    assert all(torch.equal(value, decoder[key]) for key, value in model.decoder.state_dict().items())
    assert report.missing == report.misshapen == ()
    rest = {f"{part}.{key}" for part in ("decoder", "head") for key in getattr(donor, part).state_dict()}
    assert set(report.unexpected) == rest


def test_encoder_only_safetensors_load_into_a_bare_encoder(tmp_path):
    donor = build_unet("tu-mobilenetv3_small_100", 3).encoder
    safetensors.torch.save_file(donor.state_dict(), tmp_path / "e.safetensors")
    encoder = build_unet("tu-mobilenetv3_small_100", 3).encoder
    assert load_encoder(encoder, tmp_path / "e.safetensors").loaded_share == 1
    assert all(torch.equal(value, donor.state_dict()[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv3_small_100", "efficientnet_b0", "resnet18"])
def test_timm_s_own_names_fit_its_encoders_here(tmp_path, name):
    theirs = timm.create_model(name).state_dict()
    torch.save(theirs, tmp_path / "w.pth")
    model = build_unet(f"tu-{name}", 3)
    report = load_encoder(model, tmp_path / "w.pth")
    assert report.missing == report.misshapen == ()
    assert report.loaded_share == 1
    assert all(
        torch.equal(value, theirs[name])
        for value, name in zip(model.encoder.state_dict().values(), theirs, strict=False)
    )


def test_another_layer_count_is_reported_and_left_as_it_was(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pth")
    model = build_unet("resnet18", 20)
    first = model.encoder.conv1.weight.clone()
    report = load_encoder(model, tmp_path / "w.pth")
    assert report.misshapen == (("conv1.weight", (64, 3, 7, 7), (64, 20, 7, 7)),)
    assert torch.equal(model.encoder.conv1.weight, first)
    assert len(report.loaded) == len(model.encoder.state_dict()) - 1
    numbers = sum(value.numel() for value in model.encoder.state_dict().values())
    assert report.loaded_share == pytest.approx(1 - first.numel() / numbers)
    assert "1 misshapen (conv1.weight is (64, 3, 7, 7) in the file, (64, 20, 7, 7) in the encoder)" in str(report)


def test_missing_keys_are_reported_and_left_as_they_were(tmp_path, dense):
    part = {key: value for key, value in without_head(dense).items() if not key.startswith("layer4")}
    torch.save(part, tmp_path / "w.pth")
    model = build_unet("resnet18", 3)
    before = {key: value.clone() for key, value in model.encoder.state_dict().items()}
    report = load_encoder(model, tmp_path / "w.pth")
    assert set(report.missing) == {key for key in before if key.startswith("layer4")}
    assert all(torch.equal(model.encoder.state_dict()[key], before[key]) for key in report.missing)


def test_half_precision_weights_load_as_the_model_s_type(tmp_path, dense):
    torch.save(
        {key: value.half() if value.is_floating_point() else value for key, value in dense.items()}, tmp_path / "w.pth"
    )
    model = build_unet("resnet18", 3)
    load_encoder(model, tmp_path / "w.pth")
    assert model.encoder.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(model.encoder.conv1.weight, dense["conv1.weight"], atol=1e-3, rtol=1e-3)


def test_loading_nothing_is_an_error(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"None of the 122 keys .* Is it another architecture"):
        load_encoder(build_unet("tu-convnext_atto", 3), tmp_path / "w.pth")


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_payload_is_not_run(tmp_path, dense, legacy):
    path, trap = tmp_path / "w.pth", tmp_path / "sprung"
    content = {"state_dict": dense, "payload": Payload(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="was not unpickled"):
        load_encoder(build_unet("resnet18", 3), path)
    assert not trap.exists()


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, -1])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_an_error_and_changes_nothing(tmp_path, dense, kept, legacy):
    path = tmp_path / "w.pth"
    torch.save(dense, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    model = build_unet("resnet18", 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_encoder(model, path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_content_decides_not_the_name(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pth")
    os.rename(tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert load_encoder(build_unet("resnet18", 3), tmp_path / "w.safetensors").loaded_share == 1
    safetensors.torch.save_file(dense, tmp_path / "v.pth")
    assert load_encoder(build_unet("resnet18", 3), tmp_path / "v.pth").loaded_share == 1


def test_a_file_without_tensors_is_an_error(tmp_path):
    torch.save([1, 2, 3], tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="no named tensors"):
        load_encoder(build_unet("resnet18", 3), tmp_path / "w.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceNotFoundError, match=r"nowhere\.pth"):
        load_encoder(build_unet("resnet18", 3), tmp_path / "nowhere.pth")


@pytest.mark.parametrize(("theirs", "ours"), [(3, 20), (20, 3), (1, 8)])
def test_adapted_channels_answer_alike_to_what_is_the_same_in_all(tmp_path, theirs, ours):
    donor = build_unet("resnet18", theirs).encoder.eval()
    safetensors.torch.save_file(donor.state_dict(), tmp_path / "e.safetensors")
    encoder = build_unet("resnet18", ours).encoder.eval()
    report = load_encoder(encoder, tmp_path / "e.safetensors", adapt_channels=True)
    flat = torch.rand(1, 1, 64, 64)
    expected = donor(flat.expand(-1, theirs, -1, -1))[1:]
    found = encoder(flat.expand(-1, ours, -1, -1))[1:]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert report.adapted == (("conv1.weight", (64, theirs, 7, 7), (64, ours, 7, 7)),)
    assert report.misshapen == ()
    assert report.loaded_share == 1
    assert f"adapted from {theirs} to {ours} input channels" in str(report)
    report.check("e.safetensors")


def test_adapting_changes_nothing_where_the_channels_agree(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pth")
    model = build_unet("resnet18", 3)
    assert load_encoder(model, tmp_path / "w.pth", adapt_channels=True).adapted == ()
    assert torch.equal(model.encoder.conv1.weight, dense["conv1.weight"])


def test_another_channel_count_is_refused_with_both_counts(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pth")
    report = load_encoder(build_unet("resnet18", 20), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"see 3 input channels .* this model sees 20\. Choose 3 layers"):
        report.check("w.pth", least=0.0)


def test_too_little_of_an_encoder_is_refused_unless_asked_for(tmp_path, dense):
    part = {key: value for key, value in dense.items() if not key.startswith(("layer3", "layer4", "fc"))}
    torch.save(part, tmp_path / "w.pth")
    report = load_encoder(build_unet("resnet18", 3), tmp_path / "w.pth")
    assert report.loaded_share < 0.1
    with pytest.raises(CheckpointError, match=r"fills only 6.* of the encoder's weights, where at least 50.0%"):
        report.check("w.pth")
    report.check("w.pth", least=0.05)


def test_a_header_whose_length_begins_like_a_pickle_is_no_pickle(tmp_path):
    for padding in range(64):
        tensors = {"x" * (1 + padding): torch.ones(2), "conv1.weight": torch.ones(64, 3, 7, 7)}
        safetensors.torch.save_file(tensors, tmp_path / "e.safetensors", metadata={"note": "y" * 8 * padding})
        if (tmp_path / "e.safetensors").read_bytes()[:1] == b"\x80":
            break
    else:
        raise AssertionError("no header of the length that this test is about")
    assert load_encoder(build_unet("resnet18", 3), tmp_path / "e.safetensors").loaded == ("conv1.weight",)
