"""Fused norms: batch norms folded into the convolutions before them, for prediction only."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

import torch.fx
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Iterator

Model = TypeVar("Model", bound=nn.Module)

# Exact types: a subclass may do more than its parent, as weight standardisation does, and folding would lose it.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)

# What a forward may run into when it is given stand-ins for tensors.
_UNTRACEABLE = (
    TraceError,
    AssertionError,
    AttributeError,
    NameError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def fuse_norms(model: Model) -> Model:
    """Return a copy whose batch norms are folded into the convolutions before them, where that changes nothing.

    In evaluation mode a batch norm is a scaling and a shift per channel, which the weights and bias of a convolution
    can take over: the same outputs to float error, with a pass over memory less for each norm. A norm stays as it is
    where its input does not come straight and only from one convolution, or where the data flow cannot be traced.

    Parameters
    ----------
    model
        Any model, such as one of `volumen.models.segmenters.build_segmenter`; it is not changed.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. Its weights no longer fit a checkpoint: predict with it, and nothing else.
    """
    fused = copy.deepcopy(model).eval()
    for convolution_name, norm_name in list(_pairs(fused, "")):
        convolution, norm = fused.get_submodule(convolution_name), fused.get_submodule(norm_name)
        # timm's norms carry their activation with them, which stays behind.
        rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        fused.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, norm))  # type: ignore[type-var, arg-type]
        fused.set_submodule(norm_name, rest)
    return fused.eval()  # the parts put in come in training mode


class _Tracer(torch.fx.Tracer):
    """Follow the data down to convolutions and norms, those of timm included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _pairs(module: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield (convolution, norm) names where the one feeds the other alone; what cannot be traced is traced in parts."""
    try:
        graph = _Tracer().trace(module)
    except _UNTRACEABLE:
        for name, child in module.named_children():
            yield from _pairs(child, f"{prefix}{name}.")
        return
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times: dict[Any, int] = {}
    for node in calls:
        times[node.target] = times.get(node.target, 0) + 1
    for node in calls:
        source = node.args[0] if node.args else None
        if not isinstance(source, torch.fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        convolution, norm = module.get_submodule(str(source.target)), module.get_submodule(str(node.target))
        once = times[node.target] == times[source.target] == 1
        if once and type(convolution) in _CONVOLUTIONS and type(norm) in _NORMS and norm.track_running_stats:
            yield f"{prefix}{source.target}", f"{prefix}{node.target}"
