"""The real photographs of apparel: what is read of them, and that turns cannot be told where nothing is shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from volumen import settings
from volumen.events import result
from volumen.recipes.comparing.apparel.inputs import ApparelPhotos
from volumen.recipes.photos.pretrain import pretrain_photos
from volumen.sources.photos.read_photos import read_photos

APPAREL = Path(__file__).parents[3] / "shared" / "data" / "apparel" / "labels.csv"


@pytest.mark.skipif(not APPAREL.exists(), reason="needs the apparel photographs of ../shared/data")
def test_real_photographs_are_parted_and_tagged():
    found = read_photos(APPAREL)
    assert len(found.photos) == 2098
    assert sum(photo.annotated for photo in found.photos) == 1004
    chosen = settings.CompareApparel(photos=(str(APPAREL),), out="out")
    photos = ApparelPhotos.of(chosen)
    assert len(photos.tags) == 53
    assert not {"skin", "hair"} & {*photos.tags}
    assert len(photos.index) + len(photos.corpus.split.held_out) == 2097  # one has no tag at all
    assert len(photos.queries) == len(photos.corpus.split.held_out)  # fewer than 500: all of them are asked
    assert not {photo.name for photo in photos.index} & {photo.name for photo in photos.queries}
    share = np.mean([photo.target().mean() for photo in photos.queries if photo.annotated][:20])
    assert 0.05 < share < 0.6  # a person in front of something


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fit", "views", "least", "most"),
    [("resize", "none", 0.9, 1.01), ("resize", "flip_crop", 0.15, 0.35), ("crop", "none", 0.15, 0.35)],
)
def test_resampling_tells_a_turn_but_not_through_views_or_boxes(fit, views, least, most, tmp_path):
    """Noise has no up and no down: what tells its turns is how it was brought to a square."""
    rng = np.random.default_rng(0)
    for number in range(160):
        Image.fromarray(rng.integers(0, 255, (96, 64, 3), dtype=np.uint8)).save(tmp_path / f"{number:03}.png")
    chosen = settings.PretrainPhotos(
        photos=(str(tmp_path),),
        out=str(tmp_path / "run"),
        encoder_name="tu-test_resnet",
        size=64,
        fit=fit,
        views=views,
        batch=16,
        epochs=8,
        learning_rate=2e-3,
        held_out_share=0.3,
        plateau=0,
        device="cpu",
    )
    accuracy = result(pretrain_photos(chosen))["scores"]["accuracy"]
    assert least < accuracy < most
