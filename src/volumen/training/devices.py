"""Devices: where training computes, and in which number format; the one place that makes a Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32", "bf16", "16"]


class _Together(DDPStrategy):
    """Processes that begin with the weights of rank 0; the gradients are averaged by `Stepper`, not by hooks."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
        return module


def open_fabric(
    *,
    device: Device = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    precision: Precision = "auto",
    memory_fraction: float = 1.0,
) -> Fabric:
    """Choose devices and start their processes.

    With several devices this starts the other processes by running the present command line again, so call it
    before anything is written, and let only ``fabric.is_global_zero`` write and speak. ``auto`` takes cuda,
    else mps, else the CPU; its precision is bf16 on a CUDA device that has it, 16 on any other CUDA device and
    32 elsewhere. ``memory_fraction`` is the share of a CUDA device's memory that may be taken.

    Raises
    ------
    SettingsError
        The device is not there, there are fewer than asked for, or it cannot compute in that precision.
    """
    accelerator = pick_device(device)
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise SettingsError(
            f"Expected {devices} CUDA devices; this machine has {torch.cuda.device_count()}. Give --devices that few."
        )
    if accelerator == "mps" and devices > 1:
        raise SettingsError(f"An MPS device trains alone; got devices {devices}. Use 1, or device cpu.")
    several = devices * num_nodes > 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=_Together() if several else "auto",
        precision=_format(accelerator, precision),
    )
    fabric.launch()
    limit_memory(fabric.device, memory_fraction)
    return fabric


def limit_memory(device: str | torch.device, fraction: float) -> None:
    """Take no more than a share of a CUDA device's memory in this process; beyond it, memory runs out as if full."""
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(fraction, place.index)


def first_process() -> bool:
    """Say whether a person started this process, rather than another one that trains on several devices.

    Fabric gives the processes that it starts a LOCAL_RANK, on machines that each have a NODE_RANK; torchrun gives each
    of its own a RANK, srun a SLURM_PROCID.
    """
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"))


def pick_device(device: Device) -> str:
    """Return the device to compute on: ``auto`` takes cuda, else mps, else the CPU.

    Raises
    ------
    SettingsError
        The device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, available in there.items() if available)
    if not there[device]:
        raise SettingsError(
            f"Expected a {device} device; this machine has {', '.join(name for name in there if there[name])}. "
            "Choose such a device, or auto."
        )
    return device


def _format(accelerator: str, precision: Precision) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    if precision == "16" and accelerator == "cpu":
        raise SettingsError("A CPU does not train in precision 16; use bf16 or 32.")
    if precision == "auto" and accelerator == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
    match precision:
        case "bf16":
            return "bf16-mixed"
        case "16":
            return "16-mixed"
        case _:
            return "32-true"
