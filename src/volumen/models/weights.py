"""Weight files of any origin -> named tensors, without ever running what a pickle carries."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open

from volumen.errors import CheckpointError, SourceNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

_ZIP = b"PK\x03\x04"  # what torch.save has written since 1.6
_PICKLE = b"\x80"

DAMAGE = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, MemoryError, struct.error, pickle.UnpicklingError, BadZipFile),
)
"""What torch, safetensors and `check_unpacked` raise for damaged files; of pickles no code is run."""


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a .safetensors file.

    Returns
    -------
    tuple
        Tensors by name, on the CPU, and the text metadata of the file's header.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, or another format (a pickle is recognised and left alone).
    """
    if _is_pickle(path):
        raise CheckpointError(
            f"{os.fspath(path)} is a pickle of torch.save, not a .safetensors checkpoint, and was not opened; "
            f"if it holds encoder weights, give it as the encoder of a fine-tuning."
        )
    try:
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, *DAMAGE) as error:
        raise CheckpointError(
            f"{os.fspath(path)} is damaged, cut short or no .safetensors file ({_first_line(error)}); "
            f"make or copy it again."
        ) from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read named tensors from .safetensors, or from .pth/.pt with ``weights_only=True``; the content decides which.

    Nested checkpoints are searched: of ``{"epoch": …, "state_dict": {…}}`` the largest group of tensors is taken.
    What has no text as its name, and tensors that are sparse, quantized or without data, count as none.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged, holds no named tensors, or holds objects other than tensors and plain data, which are
        never unpickled.
    """
    if not _is_pickle(path):
        return read_safetensors(path)[0]
    try:
        # By a path, torch would go by the name's ending instead of the content. It warns of pickles that it did not
        # write itself, which are then read or refused below.
        with open(path, "rb") as file, warnings.catch_warnings():
            if file.read(len(_ZIP)) == _ZIP:
                check_unpacked(file)
            file.seek(0)
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{os.fspath(path)} holds more than tensors, or is damaged, and was not unpickled, because a pickle can "
            f"run any code; save its state_dict alone, best as .safetensors."
        ) from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{os.fspath(path)} is damaged or cut short ({_first_line(error)}); make or copy it again."
        ) from error
    tensors = _largest_group(content)
    if not tensors:
        raise CheckpointError(f"{os.fspath(path)} holds no named tensors; expected a state_dict.")
    return tensors


def check_unpacked(file: BinaryIO) -> None:
    """Refuse an archive that would take more memory than the file has bytes: torch.save makes none.

    Raises
    ------
    zipfile.BadZipFile
        If it is compressed, its parts lie over one another, or torch would see other parts than those looked at here.
    """
    with ZipFile(file) as archive:
        entries, start = archive.infolist(), archive.start_dir
    if _directory(file) != start:
        raise BadZipFile("its end is not as torch.save writes it")
    if any(entry.compress_type != ZIP_STORED for entry in entries):
        raise BadZipFile("it is compressed, which torch.save does not do")
    if sum(entry.file_size for entry in entries) > start:
        raise BadZipFile("its parts lie over one another")


def _directory(file: BinaryIO) -> int | None:
    """Return where the end of an archive says that the list of its parts begins: there torch looks for it.

    Python's zipfile takes the list that lies just before the end, so that one file could hold a list for each. None
    where the end is not the last of the file, or points to another.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read()
    large, locator, small = tail[-98:-42], tail[-42:-22], tail[-22:]
    if not small.startswith(b"PK\x05\x06"):
        return None
    if not locator.startswith(b"PK\x06\x07"):
        return int.from_bytes(small[16:20], "little")
    if not large.startswith(b"PK\x06\x06") or int.from_bytes(locator[8:16], "little") != size - len(tail):
        return None
    return int.from_bytes(large[48:56], "little")


def _largest_group(content: Any) -> dict[str, Tensor]:
    """Find the mapping with the most numbers in tensors, in whatever nesting it lies; of equal ones, the first."""
    largest: dict[str, Tensor] = {}
    most = 0
    seen: set[int] = set()  # a pickle may hold a mapping in itself, or one in many places
    waiting = [content]
    while waiting:  # the last first, and the outer before the inner: among equals the one that is met later is taken
        mapping = waiting.pop()
        if not isinstance(mapping, dict) or id(mapping) in seen:
            continue
        seen.add(id(mapping))
        waiting.extend(mapping.values())
        tensors = {name: value for name, value in mapping.items() if isinstance(name, str) and _is_plain(value)}
        numbers = sum(tensor.numel() for tensor in tensors.values())
        if numbers >= most:
            largest, most = tensors, numbers
    return largest


def _is_plain(value: Any) -> bool:
    """Say whether a value is a tensor whose numbers are there, one by one: not sparse, quantized or without data."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _is_pickle(path: str | os.PathLike[str]) -> bool:
    """Say whether torch.save wrote a file, by its first bytes.

    A .safetensors file begins with the length of its header, eight bytes of which the first may be that of a pickle;
    its header follows, and that is JSON.
    """
    if not os.path.isfile(path):
        raise SourceNotFoundError(f"There is no weight file {os.fspath(path)}; check the path.")
    with open(path, "rb") as file:
        head = file.read(9)
    return head.startswith(_ZIP) or (head.startswith(_PICKLE) and head[8:] != b"{")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
