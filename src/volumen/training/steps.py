"""Stepper: one optimiser step, on as many devices and in as many parts as the memory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from volumen.errors import CheckpointError, DivergedError, OutOfMemoryError
from volumen.events import Warned
from volumen.memory import memory_errors, out_of_memory
from volumen.objectives.terms import LossTerms
from volumen.training.norms import share_norms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from volumen.training.optimizers import Rates

Batch = Mapping[str, Tensor]
Objective = Callable[[nn.Module, Batch], LossTerms]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a step measured: values to report, samples over all devices, and what the person should know."""

    values: Mapping[str, float]
    samples: int
    warnings: tuple[Warned, ...] = ()


class Stepper:
    """Descend one step at a time, and on one device halve the micro-batch where memory runs out.

    Several devices take the step that one would take with their batches together: batch norms take their statistics
    over all of them (`share_norms`), losses their sums (`volumen.objectives.together`), and gradients are averaged,
    by hand and all at once, after each has finished. So they cannot halve their shares: the others would wait for sums
    of a part that they do not have.

    Parameters
    ----------
    fabric
        Already launched.
    model, optimizer
        Moved to the device here.
    objective
        From the model and a batch to `LossTerms`.
    clip_norm
        Largest gradient norm; None leaves gradients as they are, for an optimizer that cuts them itself.
    seed
        What is random in a step is drawn from ``(seed, step, rank)``.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        *,
        clip_norm: float | None,
        seed: int,
    ) -> None:
        self.parts = 1
        if fabric.world_size > 1:
            share_norms(model)
        self.module, self._wrapped_optimizer = fabric.setup(model, optimizer)
        self._fabric, self._model, self._optimizer, self._objective = fabric, model, optimizer, objective
        self._clip_norm, self._seed = math.inf if clip_norm is None else clip_norm, seed

    def step(self, step: int, batch: Batch, rates: Rates) -> Taken:
        """Take step number ``step`` (from 0) on this process's share of the batch.

        Raises
        ------
        DivergedError
            The loss, or outside precision 16 a gradient, is not a number; the weights are as before the step.
        OutOfMemoryError
            One sample at a time is still too much; with several devices, their share of the batch is; or what the
            optimizer keeps of the weights is.
        """
        rates.tell(self._optimizer)
        batch = self._fabric.to_device(dict(batch))
        count = len(next(iter(batch.values())))
        warnings = []
        while (terms := self._try(step, batch)) is None:
            warnings.append(self._halve(count))
        self._average()
        terms = self._averaged(terms)
        values = {**terms, "gradient_norm": self._clip(), **rates.values}
        self._check(step, values)
        # the first step makes what an optimizer keeps of every weight
        with out_of_memory("the weights were changed", "Use a smaller encoder, or a device with more memory."):
            self._wrapped_optimizer.step()
        return Taken(values=values, samples=count * self._fabric.world_size, warnings=tuple(warnings))

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "parts": self.parts,
            "weights": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; a `CheckpointError` says what does not fit this model."""
        try:
            self.parts = state["parts"]
            self._model.load_state_dict(state["weights"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._fabric.strategy.precision.load_state_dict(state["precision"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"The saved state does not fit the model that the recipe builds: {error}. "
                "Resume with the version that began the run, or delete its folder last/ to train from the start."
            ) from error

    def _try(self, step: int, batch: Batch) -> dict[str, float] | None:
        """Return the loss and its terms with gradients in place, or None where memory ran out."""
        with suppress(MemoryError), memory_errors():
            return self._accumulate(step, batch)
        # only here, since the error's traceback held on to the tensors of the failed pass
        if self._fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _accumulate(self, step: int, batch: Batch) -> dict[str, float]:
        self._wrapped_optimizer.zero_grad(set_to_none=True)
        count = len(next(iter(batch.values())))
        pieces = {name: torch.tensor_split(tensor, self.parts) for name, tensor in batch.items()}
        sums: dict[str, float] = {}
        devices = [self._fabric.device] if self._fabric.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self._draw(step))
            for index in range(self.parts):
                piece = {name: tensors[index] for name, tensors in pieces.items()}
                share = len(next(iter(piece.values()))) / count
                terms = self._objective(self.module, piece)
                self._fabric.backward(terms.total * share)
                for name, value in {"loss": terms.total, **terms.terms}.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * share
        return sums

    def _draw(self, step: int) -> int:
        key = np.random.SeedSequence([self._seed, step, self._fabric.global_rank])
        return int(key.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _halve(self, count: int) -> Warned:
        """Double the number of parts that the batch is computed in."""
        if self._fabric.world_size > 1:
            raise OutOfMemoryError(
                f"The {self._fabric.device} ran out of memory, and devices that share norms and sums cannot halve "
                "their batches. Use a smaller batch, or one device."
            )
        if self.parts >= count:
            raise OutOfMemoryError(
                f"The {self._fabric.device} has too little memory for one sample. "
                "Use a smaller input size, fewer layers, or a smaller encoder."
            )
        self.parts = min(2 * self.parts, count)
        return Warned(
            message=f"The {self._fabric.device} ran out of memory with {count} samples; going on with "
            f"{math.ceil(count / self.parts)} at a time, gradients added up. Whatever looks at a batch as a whole "
            "(norms, Dice, negatives, triplets) now sees these smaller parts."
        )

    def _average(self) -> None:
        """Average the gradients over the devices."""
        if self._fabric.world_size == 1:
            return
        gradients = [parameter.grad for parameter in self._model.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        means = cast("Tensor", self._fabric.all_reduce(flat, reduce_op="mean"))
        start = 0
        for gradient in gradients:
            gradient.copy_(means[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def _averaged(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Return losses and terms averaged over the devices, so that all of them tell, and check, the same."""
        if self._fabric.world_size == 1:
            return dict(terms)
        told = torch.tensor(list(terms.values()), dtype=torch.float64, device=self._fabric.device)
        means = cast("Tensor", self._fabric.all_reduce(told, reduce_op="mean"))
        return dict(zip(terms, means.tolist(), strict=True))

    def _clip(self) -> float:
        """Cut the gradients to the largest norm and return the norm that they had."""
        norm = self._fabric.clip_gradients(
            self.module, self._wrapped_optimizer, max_norm=self._clip_norm, error_if_nonfinite=False
        )
        return float(norm) if norm is not None else 0.0

    def _check(self, step: int, values: Mapping[str, float]) -> None:
        # with a gradient scaler an infinite gradient is normal: the scaler skips the step and scales less
        scaled = getattr(self._fabric.strategy.precision, "scaler", None) is not None
        for name in ("loss",) if scaled else ("loss", "gradient_norm"):
            if not math.isfinite(values[name]):
                raise DivergedError(
                    f"Training diverged: the {name.replace('_', ' ')} of step {step + 1} is {values[name]}. "
                    "Use a lower learning rate or precision 32, and check for damaged values in what is learned from."
                )
