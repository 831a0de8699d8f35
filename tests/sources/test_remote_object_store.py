"""Object stores whose drivers fail in words of their own."""

import asyncio

import pytest

from volumen.sources.remote.object_store import FsspecOrigin
from volumen.sources.remote.origin import UnreachableError


class Unplugged:
    """A file system whose driver knows no endpoint; its errors have no base in common with Python's own."""

    @staticmethod
    def _strip_protocol(url):
        return url

    async def _fail(self, *_, **__):
        raise LookupError("no endpoint")

    _cat_file = _info = _ls = _fail


@pytest.mark.parametrize("ask", ["fetch", "facts", "listing"])
def test_a_store_that_does_not_answer_is_named(ask):
    async def asked():
        await getattr(FsspecOrigin(Unplugged(), 1), ask)("s3://bucket/a.zarr")

    with pytest.raises(UnreachableError, match=r"s3://bucket/a\.zarr cannot be reached \(no endpoint\)"):
        asyncio.run(asked())
