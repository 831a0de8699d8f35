"""share_norms: batch norms that take their statistics over the batch of all processes, as one process would."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from volumen.objectives.together import several_processes, summed

if TYPE_CHECKING:
    from torch import Tensor


class SharedNorm(nn.BatchNorm2d):
    """`torch.nn.SyncBatchNorm` for any device, which that refuses on a CPU; NC or NC…, its state dict the same.

    With sums over the batch, and the pixels, of every process::

        mean = Σ x / n        variance = Σ (x - mean)² / n

    In evaluation, without gradients, for packed patches and in a single process it is plain batch normalisation.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take whatever a norm of another number of axes took."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of all processes while training."""
        learns = self.training and torch.is_grad_enabled() and several_processes()
        if not learns or type(input) is not torch.Tensor:  # packed patches have a batch norm of their own
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1, *[1] * (input.ndim - 2)]  # C -> 1C11
        values = input.float()
        count = summed(values.new_tensor(values.numel() / values.shape[1]))
        mean = summed(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = summed(centred.square().sum(axes)) / count
        self._remember(mean.detach(), (variance.detach() * count / (count - 1).clamp_min(1)))
        normed = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as `torch.nn.BatchNorm2d` does."""
        if not self.track_running_stats:
            return
        batches, means, variances = (
            cast("Tensor", each) for each in (self.num_batches_tracked, self.running_mean, self.running_var)
        )
        batches.add_(1)
        share = 1 / batches.to(means) if self.momentum is None else means.new_tensor(self.momentum)
        means.lerp_(mean.to(means), share)
        variances.lerp_(variance.to(variances), share)


class SharedNormAct(SharedNorm):
    """A shared norm with what timm puts behind one: dropped blocks and an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of all processes while training, and activate."""
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


_SHARED = {nn.BatchNorm1d: SharedNorm, nn.BatchNorm2d: SharedNorm, BatchNormAct2d: SharedNormAct}


def share_norms(model: nn.Module) -> None:
    """Let the plain batch norms of a model, and timm's with an activation, take their statistics over all processes.

    Norms of other kinds stay as they are: those without statistics of the batch need nothing, and those that measure
    chosen columns of lines go on measuring each process's own.
    """
    for module in model.modules():
        if type(module) in _SHARED:
            module.__class__ = _SHARED[type(module)]  # what it holds stays, and so does whoever holds it
