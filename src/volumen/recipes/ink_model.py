"""InkModel: a trained model, ready to predict ink with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volumen.crops.normalize import Normalization
from volumen.errors import CheckpointError
from volumen.models.checkpoint import load_checkpoint
from volumen.models.fuse import fuse_norms
from volumen.prediction.forward import Forward
from volumen.recipes.first_weights import digest
from volumen.run_folder import weights_file
from volumen.training.devices import pick_device

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from volumen.prediction.forward import Precision as Format
    from volumen.training.devices import Device, Precision


@dataclass(frozen=True, kw_only=True)
class InkModel:
    """A trained model, ready to use: voxels as they are on disk in, probabilities out.

    Parameters
    ----------
    header
        What the checkpoint says about itself, see `volumen.models.checkpoint.Header`.
    digest
        SHA-256 of the checkpoint file.
    device
        Where it computes.
    forward
        From voxels to probabilities.
    """

    header: Mapping[str, Any]
    digest: str
    device: str
    forward: Forward

    def __call__(self, voxels: NDArray[Any], /) -> NDArray[np.float32]:
        """Predict voxels (N, layers, H, W), H and W multiples of 32, to probabilities (N, H, W) in [0, 1]."""
        return self.forward(voxels)

    @property
    def layer_count(self) -> int:
        """How many layers it sees."""
        return int(self.header["layer_count"])

    def layers(self, depth: int) -> tuple[int, int]:
        """Return the half-open range of layers to read of a segment: as far from its surface as in training.

        Raises
        ------
        CheckpointError
            The segment does not have these layers.
        """
        start = depth // 2 + int(self.header["surface_offset"])
        if start < 0 or start + self.layer_count > depth:
            raise CheckpointError(
                f"The model sees {self.layer_count} layers, {start}:{start + self.layer_count} of this segment, which "
                f"has {depth}. Choose them with --layers, or take a model for fewer."
            )
        return (start, start + self.layer_count)


def load_model(path: str | Path, *, device: Device = "auto", precision: Precision = "auto") -> InkModel:
    """Load a checkpoint, or the best weights of a run folder, ready to predict with.

    Parameters
    ----------
    path
        A ``.safetensors`` file that volumen wrote, or a run folder.
    device
        ``cpu``, ``cuda`` or ``mps``; ``auto`` takes cuda, else mps, else the CPU.
    precision
        Number format of the arithmetic: ``32``, ``bf16`` or ``16``; ``auto`` takes 16 on cuda, which the 8 bits of an
        ink map do not show, and 32 elsewhere.

    Returns
    -------
    InkModel
        From voxels (N, layers, H, W), as they are on disk, to probabilities (N, H, W) in [0, 1].

    Raises
    ------
    SourceNotFoundError
        There is no such file, or the run has no weights yet.
    CheckpointError
        It is damaged, no checkpoint of volumen, or a pickle, which is never opened.
    SettingsError
        The device is not there.

    Examples
    --------
    >>> from volumen.sources.open import open_segment
    >>> model, segment = load_model("runs/first"), open_segment("20230827161847.zarr")  # doctest: +SKIP
    >>> window = segment.window.layers(*model.layers(segment.depth))  # doctest: +SKIP
    >>> model(segment.read(window)[None, :, :256, :256]).shape  # doctest: +SKIP
    (1, 256, 256)
    """
    file = weights_file(path)
    network, header = load_checkpoint(file)
    said = (header.get("layer_count"), header.get("surface_offset"))
    if not all(isinstance(number, int) for number in said) or "normalization" not in header:
        raise CheckpointError(f"{file} does not say which layers and normalisation its model needs.")
    place = pick_device(device)
    if precision == "auto":
        precision = "16" if place == "cuda" else "32"
    number_format: Format = precision
    forward = Forward(
        fuse_norms(network),
        normalization=Normalization.from_dict(header["normalization"]),
        device=place,
        precision=number_format,
    )
    return InkModel(header=header, digest=digest(file), device=place, forward=forward)
