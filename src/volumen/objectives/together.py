"""summed: sums over a batch, taken over all processes that share it, so that a loss is that of the whole batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as processes

if TYPE_CHECKING:
    from torch import Tensor


def summed(values: Tensor) -> Tensor:
    """Return the sum over all processes that train together; as it came where there is one, or where none learns.

    A process that scores, without gradients, does so alone. Else every process has the whole sum then, and a loss made
    of it is the loss of the whole batch. Each sends its gradient to all: the average over processes, which a step
    takes, is the gradient of that one loss.

    Examples
    --------
    >>> summed(torch.tensor([2.0, 3.0]))
    tensor([2., 3.])
    """
    if not (torch.is_grad_enabled() and several_processes()):
        return values
    total: Tensor = _Sum.apply(values)
    return total


def several_processes() -> bool:
    """Whether this is one of several processes that train together."""
    return processes.is_available() and processes.is_initialized() and processes.get_world_size() > 1


class _Sum(torch.autograd.Function):
    """The sum over processes, in both directions."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _all(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _all(gradients[0])


def _all(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    processes.all_reduce(total)
    return total
