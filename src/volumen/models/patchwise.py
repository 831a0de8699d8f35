"""Packed: visible patches as a tensor that knows which operations keep them apart, and refuses the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from volumen.errors import SettingsError
from volumen.models import sliding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from volumen.models.layout import Layout

    Arguments = tuple[Any, ...]
    Keywords = Mapping[str, Any]

_TELLING = """
    shape size len ndim dim numel nelement dtype device layout stride storage_offset element_size is_contiguous
    is_floating_point is_complex is_cuda is_cpu is_meta is_sparse is_quantized is_mkldnn is_leaf requires_grad grad
    grad_fn retain_grad register_hook backward version as_subclass repr format hash
"""
_POINTWISE = """
    add iadd radd sub isub rsub mul imul rmul div truediv itruediv neg clamp relu relu6 leaky_relu elu celu selu gelu
    silu mish sigmoid tanh hardtanh hardswish hardsigmoid softplus dropout clone detach contiguous to float double half
    bfloat16
"""
_HARMLESS = frozenset(_TELLING.split())
"""What only tells about a tensor, or acts on it without computing."""
_VALUE_BY_VALUE = frozenset(_POINTWISE.split())
"""What treats every value by itself, or with a number of its channel."""


class Packed(Tensor):
    """Visible patches, (V, C, s, s), that know where they lie; `volumen.models.packed.pack` makes one.

    Operations that keep patches apart, and windows, which look into neighbours, return another Packed of the same
    layout. Everything else raises a SettingsError that says what was called; `blocks` is the way out to a plain tensor.

    Attributes
    ----------
    patch_layout
        Where the patches lie.
    channel_axis
        1 for (V, C, s, s); 3 for (V, s, s, C), which encoders turn to and back with ``permute``.
    """

    patch_layout: Layout
    channel_axis: int

    @property
    def blocks(self) -> Tensor:
        """The patches as a plain tensor that shares memory and history."""
        return self.as_subclass(Tensor)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        """Run a function of torch on packed patches, if it is known to keep them apart."""
        kwargs = kwargs or {}
        # In place, as operator or as function: relu_, __iadd__ and add are one thing; a property hides behind __get__.
        owner = func.__self__ if func.__name__ in ("__get__", "__set__") else func  # type: ignore[attr-defined]
        name = owner.__name__.strip("_")
        with torch._C.DisableTorchFunctionSubclass():
            if name in _HARMLESS:
                return func(*args, **kwargs)
            rule = _value_by_value if name in _VALUE_BY_VALUE else _RULES.get(name)
            if rule is not None:
                return rule(func, args, kwargs)
        raise SettingsError(f"it calls {name}(), which is not known to keep patches apart")


def as_packed(blocks: Tensor, layout: Layout, channel_axis: int = 1) -> Packed:
    """Turn a tensor that nobody else holds into a Packed, itself.

    Its class is changed, as torch does with lazy parameters: ``as_subclass`` would make a view, and an operation in
    place on a view costs three copies of the gradient.
    """
    blocks.__class__ = Packed
    packed: Packed = blocks  # type: ignore[assignment]
    packed.patch_layout, packed.channel_axis = layout, channel_axis
    return packed


def check_order(packed: Any, name: str, channel_axis: int = 1) -> Packed:
    """Return packed patches whose channels are where ``name`` needs them, or raise a SettingsError."""
    if not isinstance(packed, Packed) or packed.channel_axis != channel_axis:
        raise SettingsError(f"{name} needs packed patches with channels on axis {channel_axis}")
    return packed


def _like(first: Packed, result: Tensor, channel_axis: int | None = None) -> Packed:
    """Give a result the layout of what it was made from; what came back itself has one."""
    if isinstance(result, Packed):
        return result
    layout = first.patch_layout.to(result.device)
    return as_packed(result, layout, first.channel_axis if channel_axis is None else channel_axis)


def _value_by_value(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    operands = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    first = next(value for value in operands if isinstance(value, Packed))
    for other in operands:
        _check_partner(first, other)
    return _like(first, func(*args, **kwargs))


def _check_partner(first: Packed, other: Tensor) -> None:
    """Check that two operands lie at the same places, or that the other has one number per channel."""
    axis = first.channel_axis
    shape = (1,) * (4 - other.ndim) + tuple(other.shape)
    if isinstance(other, Packed):
        fits = other.patch_layout is first.patch_layout and other.channel_axis == axis
        fits = fits and all(a == b for i, (a, b) in enumerate(zip(first.shape, shape, strict=True)) if i != axis)
    else:
        fits = all(size == 1 for i, size in enumerate(shape) if i != axis)
    if not fits:
        raise SettingsError(f"it joins packed patches of shape {tuple(first.shape)} and others of {tuple(other.shape)}")


def _slide(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    """Run a convolution or pooling with its namesake for packed patches."""
    first = check_order(args[0], func.__name__)
    return _like(first, getattr(sliding, func.__name__)(first, first.patch_layout, *args[1:], **kwargs))


def _channels_first(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    """Run batch_norm or prelu: channels on axis 1, visible positions of all images together."""
    return _like(check_order(args[0], func.__name__), func(*args, **kwargs))


def _channels_last(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    """Run linear or layer_norm, which work on the last axis."""
    first = check_order(args[0], func.__name__, channel_axis=3)
    if func.__name__ == "layer_norm" and len(args[1]) != 1:
        raise SettingsError("its layer_norm spans positions beside channels")
    return _like(first, func(*args, **kwargs))


def _permute(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    first = args[0]
    order = kwargs["dims"] if "dims" in kwargs else args[1] if len(args) == 2 else args[1:]
    turned = {(1, (0, 2, 3, 1)): 3, (3, (0, 3, 1, 2)): 1}.get((first.channel_axis, tuple(order)))
    if turned is None:
        raise SettingsError(f"its permute{tuple(order)} is neither from channels first to last nor back")
    return _like(first, func(*args, **kwargs), channel_axis=turned)


def _join(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Packed:
    parts = args[0]
    axis = kwargs.get("dim", args[1] if len(args) > 1 else 0) % 4
    first = check_order(parts[0], func.__name__, channel_axis=axis)
    for part in parts:
        _check_partner(first, check_order(part, func.__name__, channel_axis=axis))
    return _like(first, func(*args, **kwargs))


def _part(func: Callable[..., Any], args: Arguments, kwargs: Keywords) -> tuple[Packed, ...]:
    axis = kwargs.get("dim", args[2] if len(args) > 2 else 0) % 4
    first = check_order(args[0], func.__name__, channel_axis=axis)
    return tuple(_like(first, part) for part in func(*args, **kwargs))


_RULES: dict[str, Callable[[Callable[..., Any], Arguments, Keywords], Any]] = {
    "conv2d": _slide,
    "max_pool2d": _slide,
    "avg_pool2d": _slide,
    "batch_norm": _channels_first,
    "prelu": _channels_first,
    "layer_norm": _channels_last,
    "linear": _channels_last,
    "permute": _permute,
    "cat": _join,
    "chunk": _part,
    "split": _part,
}
