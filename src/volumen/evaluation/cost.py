"""Cost: what a model takes for one image, in parameters, multiplications, seconds and memory."""

from __future__ import annotations

import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one image takes, its batch's divided by its images.

    Parameters
    ----------
    parameters
        Numbers in the model, of the model as a whole.
    gflop
        1e9 floating-point operations, see `count_flop`.
    gmac
        1e9 multiplications with an addition each: half of ``gflop``. Papers give either and call both FLOPs.
    seconds
        Median of the repeats.
    peak_bytes
        Most memory held at once by tensors that were made on the way, beyond the model and its input.
    """

    parameters: int
    gflop: float
    gmac: float
    seconds: float
    peak_bytes: float


def measure_cost(model: nn.Module, run: Callable[[], object], *, images: int, repeats: int = 5) -> Cost:
    """Measure what a model takes to go over a batch once, without gradients.

    Parameters
    ----------
    model
        All modules that take part, in the mode that is to be measured; it runs where its parameters are.
    run
        Goes over the batch once.
    images
        How many that is.
    repeats
        How often it is timed, after two runs that count operations and memory.

    Raises
    ------
    SettingsError
        When there is no image or no repeat.

    Examples
    --------
    >>> model, batch = nn.Linear(8, 16), torch.rand(4, 8)
    >>> cost = measure_cost(model, lambda: model(batch), images=4)
    >>> cost.parameters, cost.gflop * 1e9, cost.gmac * 1e9, cost.peak_bytes
    (144, 256.0, 128.0, 64.0)
    """
    if images < 1 or repeats < 1:
        raise SettingsError(f"A cost needs an image and a repeat; got {images} images and {repeats} repeats.")
    parameters = list(model.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    with torch.no_grad():
        flop = count_flop(model, run)
        peak = _peak_bytes(run, device)
        seconds = [_seconds(run, device) for _ in range(repeats)]
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        gflop=flop / images / 1e9,
        gmac=flop / images / 2e9,
        seconds=median(seconds) / images,
        peak_bytes=peak / images,
    )


def count_flop(model: nn.Module, run: Callable[[], object]) -> int:
    """Count the floating-point operations of running forward, two for each multiplication with its addition.

    Convolutions, matrix products and attention are counted by torch's `FlopCounterMode` as they run. It does not
    see inside a fused LSTM and, on some devices, other recurrent layers: these are counted by formula, a layer of
    width h on i inputs with g gates (4 in an LSTM) taking ``2 g h (i + h)`` a step and direction. Nor does it see the
    fused attention of evaluation, which is switched off while it counts. Norms, activations and pooling count
    nothing, as is usual; what is computed for padding does count, except in the steps of packed recurrent layers.

    Parameters
    ----------
    model
        All modules that take part.
    run
        Runs them, through their ``__call__``.

    Examples
    --------
    >>> lstm, steps = nn.LSTM(8, 16), torch.rand(5, 3, 8)
    >>> count_flop(lstm, lambda: lstm(steps)) == 5 * 3 * 2 * 4 * 16 * (8 + 16)
    True
    """
    counter = FlopCounterMode(display=False)
    by_formula, before = [0], [0]

    def enter(module: nn.Module, given: tuple[Any, ...]) -> None:
        before[0] = counter.get_total_flops()

    def leave(module: nn.Module, given: tuple[Any, ...], returned: object) -> None:
        seen = counter.get_total_flops() - before[0]
        by_formula[0] += _recurrent_flop(module, given[0]) - seen

    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    hooks = [module.register_forward_pre_hook(enter) for module in recurrent]
    hooks += [module.register_forward_hook(leave) for module in recurrent]
    try:
        with torch.no_grad(), _attention_in_parts(), counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return counter.get_total_flops() + by_formula[0]


def _recurrent_flop(module: nn.Module, given: Tensor | PackedSequence) -> int:
    """Return the operations of a recurrent layer's products, by the shapes of its weights."""
    values = given.data if isinstance(given, PackedSequence) else given
    steps = values.numel() // values.shape[-1]
    products = sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))
    return 2 * steps * products


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Keep torch from the fused attention that it has for evaluation."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes of tensors at once, by CUDA's own account or by watching every tensor that is made."""
    if device.type == "cuda":
        _wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        _wait(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    held = _Held()
    with held:
        run()
    return held.peak


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that operations made and that are still there; what was there before is not counted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._keep(tensor, counts=False)
        returned = func(*args, **(kwargs or {}))
        for tensor in _tensors(returned):
            self._keep(tensor, counts=True)
        self.peak = max(self.peak, self._now)
        return returned

    def _keep(self, tensor: Tensor, *, counts: bool) -> None:
        storage = tensor.untyped_storage()  # shared by all views of it
        key = storage._cdata
        if key not in self._known:
            self._known[key] = storage.nbytes() if counts else 0
            self._now += self._known[key]
            weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self._now -= self._known.pop(key)


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
