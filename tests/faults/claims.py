"""Claims: what of an output any reader takes for whole, asked at any moment, also in the middle of its making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.drafts import output_of
from volumen.events import Finished
from volumen.models.weights import read_safetensors
from volumen.recipes.comparing.record import FILE
from volumen.sources.index.window_index import WindowIndex
from volumen.sources.pyramids.probability_map import open_map
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def there(out: Path) -> list[Path]:
    """Claim all that is at the output path, whose appearance says that it is whole."""
    return [out] if out.exists() else []


def run(out: Path) -> list[Path]:
    """Claim a run that says that it is finished; one that is not must be readable all the same."""
    if not out.exists():
        return []
    found = Run.open(out)
    told = list(found.events())
    found.load_state()
    if found.best_path.exists():
        read_safetensors(found.best_path)
    return [out] if any(isinstance(event, Finished) for event in told) else []


def ink_map(out: Path) -> list[Path]:
    """Claim a map that says that it is finished; one that is not must open all the same."""
    pictures = [each for kind in ("png", "tiff") for each in there(out.with_suffix(f".{kind}"))]
    return pictures + ([out] if out.exists() and open_map(out).finished else [])


def window_index(out: Path) -> list[Path]:
    """Claim the parts of an index that a search would find."""
    return [part.folder for part in WindowIndex.open(out).parts] if out.exists() else []


def comparison(out: Path) -> list[Path]:
    """Claim a comparison whose results are recorded, else its runs that are finished."""
    if (out / FILE).exists() and '"results": null' not in (out / FILE).read_text():
        return [out]
    for recipe in out.rglob("recipe.json"):
        if output_of(recipe.parent) == recipe.parent:  # who lists runs passes drafts over
            run(recipe.parent)
    return []


def files(*names: str) -> Callable[[Path], list[Path]]:
    """Claim these files of a folder, where they are."""
    return lambda out: [out / name for name in names if (out / name).exists()]
