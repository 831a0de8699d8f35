"""Settings of listing what servers have."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from volumen.settings.servers import Servers


class Listing(Servers):
    """List the segments that servers have, with what they say of them."""

    example: ClassVar[str] = "volumen list --layout ink-corpus"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.host is not None and self.layout == "auto":
            raise ValueError("a host of your own needs its --layout")
        return self
