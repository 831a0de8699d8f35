"""What every training shares: how its batches are made."""

from threading import Barrier

import numpy as np
import torch

from volumen.recipes import bookkeeping
from volumen.recipes.bookkeeping import epochs_of
from volumen.training.devices import open_fabric


class Together:
    """Samples that are made only while as many others are."""

    def __init__(self, threads: int) -> None:
        self.barrier = Barrier(threads)

    def __len__(self) -> int:
        return 8

    def sample(self, index: int, *, epoch: int) -> dict[str, torch.Tensor]:
        self.barrier.wait(timeout=10)
        return {"number": torch.tensor(index)}

    def order(self, epoch: int) -> np.ndarray:
        return np.arange(8)


def test_as_many_batches_are_made_at_a_time_as_there_are_threads(monkeypatch) -> None:
    monkeypatch.setattr(bookkeeping, "batch_threads", lambda fabric: 4)
    made = epochs_of(Together(4), batch=1, fabric=open_fabric(device="cpu"))(0, 0)
    assert [int(batch["number"]) for batch in made] == list(range(8))
