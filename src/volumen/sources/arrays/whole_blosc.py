"""WholeBlosc: a store of blosc chunks that refuses truncated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.abc.store import Store
from zarr.storage import WrapperStore

from volumen.sources.arrays.zarr_names import METADATA

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class WholeBlosc(WrapperStore[Store]):
    """Measures every chunk, since blosc itself reads past the end of a truncated one and makes up voxels."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what is stored under a key, None where nothing is."""
        found = await super().get(key, prototype, byte_range)
        if found is None or byte_range is not None or key.endswith(METADATA):
            return found
        stated = int.from_bytes(found[12:16].to_bytes(), "little")  # blosc's header says how long the chunk is
        if len(found) < max(16, stated):
            raise ValueError(f"{key} should be {stated} bytes long; got {len(found)}")
        return found
