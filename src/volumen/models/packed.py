"""Packing: an unmodified encoder, run on the visible patches of a batch only.

SparK (Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling",
arXiv 2301.03580) computes whole images and multiplies by the mask after every layer. Here the visible patches lie on
the batch axis, (V, C, s, s), and give the same numbers: pointwise layers and norms over channels or visible positions
run as they are, and windows look into visible neighbours first (`volumen.models.sliding`).
"""

from __future__ import annotations

import copy
import traceback
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from volumen.errors import SettingsError
from volumen.models.layout import Layout
from volumen.models.patchwise import Packed, as_packed, check_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Layout", "Packed", "check_packable", "encode", "pack", "unpack"]

# What a forward may run into when it is given something that it was not made for.
_UNFIT = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def pack(image: Tensor, layout: Layout, patch: int = 32) -> Packed:
    """Cut the visible patches out of images.

    Parameters
    ----------
    image
        (N, C, gh × patch, gw × patch).
    layout
        Where patches are visible, on the image's device.
    patch
        Side of a patch in px.

    Raises
    ------
    SettingsError
        If image, layout and patch do not fit together.

    Examples
    --------
    >>> layout = Layout.of(torch.tensor([[[True, False], [False, True]]]))
    >>> packed = pack(torch.arange(16.0).reshape(1, 1, 4, 4), layout, patch=2)
    >>> packed.blocks[:, 0].tolist()
    [[[0.0, 1.0], [4.0, 5.0]], [[10.0, 11.0], [14.0, 15.0]]]
    """
    rows, columns = layout.grid
    expected = (len(layout.visible), image.shape[1] if image.ndim == 4 else 1, rows * patch, columns * patch)
    if tuple(image.shape) != expected:
        raise SettingsError(
            f"A mask of {len(layout.visible)} images with {rows} × {columns} patches of {patch} px needs images of "
            f"shape {expected}, NCHW; got {tuple(image.shape)}. Cut the images, or draw the mask on their grid."
        )
    cut = image.reshape(*image.shape[:2], rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)
    blocks = cut[tuple(layout.places)]  # N gh gw C p p -> V C p p
    return as_packed(blocks.contiguous(memory_format=torch.channels_last), layout)


def unpack(packed: Packed, fill: float | Tensor = 0.0) -> Tensor:
    """Put visible patches back into whole maps.

    Parameters
    ----------
    packed
        (V, C, h, w).
    fill
        What masked positions hold: a number, or one per channel, (1, C, 1, 1), into which gradients flow.

    Returns
    -------
    torch.Tensor
        (N, C, gh × h, gw × w), channels last in memory.

    Examples
    --------
    >>> layout = Layout.of(torch.tensor([[[True, False]]]))
    >>> unpack(pack(torch.tensor([[[[1.0, 2.0]]]]), layout, patch=1), fill=-1.0).tolist()
    [[[[1.0, -1.0]]]]
    """
    layout, blocks = packed.patch_layout, packed.blocks
    (rows, columns), (_, channels, height, width) = layout.grid, blocks.shape
    background = torch.as_tensor(fill, dtype=blocks.dtype, device=blocks.device)
    background = background.reshape(-1)  # 1 C 1 1 -> C
    shape = (len(layout.visible), rows, height, columns, width, channels)
    canvas = background.expand(shape).contiguous()
    images, down, right = layout.places
    canvas[images, down, :, right] = blocks.permute(0, 2, 3, 1)  # V h w C
    return canvas.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)  # N gh h gw w C -> N C H W


def encode(
    encoder: Callable[[Tensor], Tensor | Iterable[Tensor]], image: Tensor, visible: Tensor, patch: int = 32
) -> list[Packed]:
    """Run an encoder on the visible patches of images only.

    The encoder is not changed. Its features are those of SparK's masked-dense form at visible positions, and its
    running statistics and gradients are too.

    Parameters
    ----------
    encoder
        Any module that maps NCHW to feature maps, such as the encoders of segmentation-models-pytorch and timm, made
        of layers that `check_packable` accepts.
    image
        (N, C, gh × patch, gw × patch).
    visible
        Bool (N, gh, gw) on the CPU, True where a patch is visible.
    patch
        Side of a patch in px: a multiple of the encoder's total stride.

    Returns
    -------
    list of Packed
        One per feature map, usually at strides 1, 2, 4, 8, 16 and 32.

    Raises
    ------
    SettingsError
        If shapes do not fit together, or the encoder has a layer that cannot run on patches; the message names it.

    Examples
    --------
    >>> encoder = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    >>> visible = torch.tensor([[[True, False, False], [False, True, False]]])
    >>> (features,) = encode(encoder, torch.ones(1, 1, 64, 96), visible)
    >>> features.shape, unpack(features).shape
    (torch.Size([2, 8, 16, 16]), torch.Size([1, 8, 32, 48]))
    """
    packed = pack(image, Layout.of(visible).to(image.device), patch)
    try:
        found = encoder(packed)
    except SettingsError as error:
        raise SettingsError(
            f"The encoder cannot run on visible patches only: {_layer(encoder, error)}: {error}. Take an encoder of "
            f"convolutions, poolings, pointwise layers, and norms over the batch or over channels only, "
            f"such as resnet50 or tu-convnext_tiny."
        ) from error
    features = []
    for feature in [found] if isinstance(found, Tensor) else found:
        if not isinstance(feature, Packed) and not feature.shape[1]:
            # Encoders without a map at stride 2 put one of no channels in its place.
            feature = as_packed(feature, packed.patch_layout)
        features.append(check_order(feature, "the encoder"))
    return features


def check_packable(encoder: nn.Module, in_channels: int, patch: int = 32) -> None:
    """Find out whether `encode` can run an encoder, in training as in evaluation; nothing is changed or computed.

    Parameters
    ----------
    in_channels
        Channels of its images.
    patch
        Side of a patch in px.

    Raises
    ------
    SettingsError
        If it cannot; the message names the first layer that stands in the way and says what it does.

    Examples
    --------
    >>> check_packable(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8)), in_channels=3)
    Traceback (most recent call last):
        ...
    volumen.errors.SettingsError: The encoder cannot run on visible patches only: layer '1' (GroupNorm): ...
    """
    weights: dict[int, Any] = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in encoder.buffers()}
    for parameter in encoder.parameters():
        weights[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    stand_in = copy.deepcopy(encoder, weights).train()
    image = torch.empty(1, in_channels, 2 * patch, 2 * patch, device="meta")
    try:
        encode(stand_in, image, torch.ones(1, 2, 2, dtype=torch.bool), patch)
    except SettingsError:
        raise
    except _UNFIT as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise SettingsError(
            f"The encoder cannot run on {in_channels} channels in patches of {patch} px: "
            f"{_layer(stand_in, error)}: {why}."
        ) from error


def _layer(encoder: object, error: Exception) -> str:
    """Name the innermost layer in whose forward an error arose, read off the error's own trace."""
    innermost: nn.Module | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            innermost = owner
    modules = encoder.named_modules() if isinstance(encoder, nn.Module) else ()
    path = next((path for path, module in modules if module is innermost), "")
    return f"layer {path!r} ({type(innermost).__name__})"
