"""Checkpoint: one .safetensors file whose header says all that is needed to use the weights.

The header is JSON under the metadata key ``volumen``. What it may say beside the architecture is listed in
`Header`; whoever trains fills it, whoever predicts obeys it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import safetensors.torch
import torch

from volumen.errors import CheckpointError, SettingsError
from volumen.models.segmenters import Segmenter, build_segmenter
from volumen.models.transplant import KeyReport, load_encoder
from volumen.models.weights import read_safetensors
from volumen.plain_json import parse_object
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    M = TypeVar("M", bound=nn.Module)

__all__ = [
    "PHOTOS",
    "Header",
    "KeyReport",
    "load_checkpoint",
    "load_encoder",
    "read_header",
    "read_origin",
    "rebuild",
    "save_checkpoint",
    "save_encoder",
]

_KEY = "volumen"

# What building a model from arguments that somebody else wrote runs into; a SettingsError is a ValueError.
_UNFIT = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)

PHOTOS = "photos"
"""What a header says only of models of photographs."""


class Header(TypedDict, total=False):
    """What a checkpoint's header says; ``architecture`` and ``volumen`` are filled in on saving."""

    architecture: dict[str, Any]
    """Arguments of `volumen.models.segmenters.build_segmenter`; not where the file holds an encoder alone."""
    encoder: dict[str, Any]
    """Where the file holds an encoder alone: arguments that build it, of `volumen.models.unet.build_encoder` or of
    `volumen.models.recognizer.recognizer.Recognizer`."""
    reader: dict[str, Any]
    """Where the file holds a reader of lines: arguments of `volumen.models.recognizer.reader.Reader`."""
    tagger: dict[str, Any]
    """Where the file holds a tagger of photographs: arguments of `volumen.models.photo_encoder.build_photo_encoder`."""
    tags: list[str]
    """Tags that a tagger knows."""
    standard: str
    """How an encoder of photographs alone was shown them: ``imagenet`` (standardised) or ``none`` (as they are)."""
    alphabet: list[str]
    """Characters that a reader knows, as ``Alphabet.to_json`` wrote them."""
    form: dict[str, Any]
    """Size that images of lines are brought to: ``height`` and ``width`` (None keeps their aspect), in px."""
    pretext: str
    """What an encoder alone was pretrained by."""
    volumen: str
    """Version that wrote the file."""
    layers: list[int]
    """[start, stop) of the layers the model saw, in the segment's order."""
    layer_count: int
    """How many layers it sees."""
    surface_offset: int
    """From the surface, layer ``depth // 2``, to the first of them; prediction counts from there."""
    reverse: bool
    """Whether the training segments were read last layer first."""
    normalization: dict[str, Any]
    """How voxels are brought to [0, 1], as ``Normalization.to_dict`` wrote it."""
    window: int
    """Side of a training crop in px."""
    input_size: int | list[int]
    """Side of what the model saw in training, or its height and width, in px."""
    voxel_um: float | None
    """Edge of a voxel in µm."""
    threshold: float | None
    """Probability above which a pixel is called ink, calibrated on held-out pixels."""
    label_hash: dict[str, str]
    """Digest of the ink label of each segment."""
    scores: dict[str, float]
    """Held-out scores of these weights in training."""
    held_out: dict[str, list[list[int]]]
    """Boxes (y0, y1, x0, x1) of each segment that no training crop touched."""
    photos: dict[str, Any]
    """Of a segmenter of photographs: ``fit`` (``resize`` or ``crop``) and ``background`` (values of masks); what it
    sees as three layers are the colours."""
    held_out_photos: list[str]
    """Names of the photographs that it never learned from."""


def save_checkpoint(path: str | os.PathLike[str], model: Segmenter, header: Mapping[str, Any]) -> None:
    """Write a model and its header to one file, whole or not at all.

    Parameters
    ----------
    path
        File to write; what stood there is replaced once the new one is complete.
    model
        The model; its weights are written in their own type, from whatever device.
    header
        What `Header` lists, as far as it is known: anything that JSON can hold.

    Raises
    ------
    SettingsError
        If the header holds what JSON cannot.
    OutOfSpaceError
        If the disk is full.
    """
    write_weights(Path(path), model, {**header, "architecture": model.architecture})


def save_encoder(
    path: str | os.PathLike[str], encoder: nn.Module, architecture: Mapping[str, Any], header: Mapping[str, Any]
) -> None:
    """Write an encoder alone, under its own keys, as `save_checkpoint` writes a model; raises what that does.

    The keys of a ResNet are those of timm and torchvision, so that three lines put it into other people's models.

    Parameters
    ----------
    architecture
        Arguments of `volumen.models.unet.build_encoder` that make this encoder again.
    """
    write_weights(Path(path), encoder, {**header, "encoder": dict(architecture)})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[Segmenter, dict[str, Any]]:
    """Build the model that a checkpoint holds.

    Returns
    -------
    tuple
        The model, on the CPU in evaluation mode, and the header (see `Header`).

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, no volumen checkpoint, or a pickle (which is never opened).
    """
    tensors, metadata = read_safetensors(path)
    header = _parse(path, metadata)
    return rebuild(path, tensors, header, "architecture", build_segmenter), header


def rebuild(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    key: str,
    build: Callable[..., M],
) -> M:
    """Build what a header describes under ``key``, and put a file's weights into it.

    Returns
    -------
    torch.nn.Module
        On the CPU, in evaluation mode.

    Raises
    ------
    CheckpointError
        It cannot be built, or the weights are not its own.
    """
    try:
        _check_size(tensors, build, header[key])
        model = build(**header[key])
        model.load_state_dict(tensors)
    except _UNFIT as error:
        raise CheckpointError(
            f"The weights in {os.fspath(path)} do not fit the {key} that its header names, {header[key]}, as volumen "
            f"{importlib.metadata.version('volumen')} builds it; it was written by volumen "
            f"{header.get('volumen', 'of unknown version')}. Use that version, or make the file again."
        ) from error
    return model.eval()


def _check_size(tensors: Mapping[str, Tensor], build: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> None:
    """Refuse a model of other sizes than the file's weights before it takes memory: a header can ask for any."""
    try:
        with torch.device("meta"):
            described = build(**arguments).state_dict()
    except RuntimeError:  # some models of timm cannot be described without being built
        return
    asked, held = (sum(tensor.numel() for tensor in each.values()) for each in (described, tensors))
    if asked > held:
        raise ValueError(f"a model of {asked} numbers is asked for, and {held} are there")


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a checkpoint says about itself, without building the model; raises what `load_checkpoint` does."""
    return _parse(path, read_safetensors(path)[1])


def read_origin(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a file of weights says about where they come from: the header of `save_encoder` or `save_checkpoint`.

    Returns
    -------
    dict
        As `Header` lists; empty for files of others, which say nothing that is understood here.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    """
    try:
        return parse_object(read_safetensors(path)[1].get(_KEY, "{}"))
    except (CheckpointError, ValueError):
        return {}


def _parse(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise CheckpointError(
            f"{os.fspath(path)} holds weights but no volumen header; it may serve as the encoder of a fine-tuning, "
            f"not as a model."
        )
    try:
        header = parse_object(metadata[_KEY])
    except ValueError as error:
        raise CheckpointError(
            f"The volumen header of {os.fspath(path)} is damaged ({error}); make or copy it again."
        ) from error
    if isinstance(header.get("encoder"), dict):
        raise CheckpointError(
            f"{os.fspath(path)} holds an encoder, which does not predict by itself; give it to a fine-tuning: "
            f"`volumen finetune --encoder {os.fspath(path)}`."
        )
    if isinstance(header.get("reader"), dict):
        raise CheckpointError(
            f"{os.fspath(path)} holds a reader of text lines, which does not predict ink; give it to `volumen read`."
        )
    if isinstance(header.get("tagger"), dict):
        raise CheckpointError(
            f"{os.fspath(path)} holds a tagger of photographs, which marks no pixels; its encoder may start another "
            f"training: --encoder {os.fspath(path)}."
        )
    if not isinstance(header.get("architecture"), dict):
        raise CheckpointError(
            f"The volumen header of {os.fspath(path)} does not say which architecture it holds; make it again."
        )
    return header


def write_weights(path: Path, module: nn.Module, header: Mapping[str, Any]) -> None:
    """Write the weights of any module with a header, whole or not at all; raises what `save_checkpoint` does."""
    whole = {**header, "volumen": importlib.metadata.version("volumen")}
    try:
        text = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"A checkpoint's header must be finite JSON data ({error}); got {whole!r}.") from error
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    write_whole(path, safetensors.torch.save(tensors, metadata={_KEY: text}), synced=True)
