"""Places: chosen by rule, apart from each other, and the same every time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from volumen.recipes.ink_map import InkMap
from volumen.recipes.reporting.places import choose_places
from volumen.recipes.scopes import box_pixels
from volumen.sources.labels.rasters import Raster
from volumen.sources.segment import Segment
from volumen.windows import Window

HEIGHT, WIDTH, SIDE = 480, 800, 120
HELD_OUT = Window((0, 1), (0, 480), (500, 800))


def held_out(window: Window) -> np.ndarray:
    return box_pixels((HELD_OUT,), window)


@pytest.fixture
def ink() -> np.ndarray:
    random = np.random.default_rng(0)
    strokes = np.zeros((HEIGHT, WIDTH))
    for _ in range(40):
        y, x = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        strokes[y : y + 30, x : x + 12] = 1
    return strokes


@pytest.fixture
def level(ink: np.ndarray) -> np.ndarray:
    return np.clip(np.random.default_rng(1).normal(80 + 80 * ink, 40), 0, 255).astype(np.uint8)


def segment(ink: np.ndarray | None) -> Segment:
    volume = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    return Segment(name="paper", source="array", levels=(volume,), ink=None if ink is None else Raster.of(ink))


def ink_map(level: np.ndarray, **record: object) -> InkMap:
    return InkMap(raster=Raster.of(level), record=record)


def test_places_follow_their_reasons(ink: np.ndarray, level: np.ndarray) -> None:
    places = choose_places(segment(ink), ink_map(level), held_out, count=4)
    assert [place.reason for place in places] == ["Most ink", "Most ink", "Most disagreement", "At random"]
    assert [place.held_out for place in places[:3]] == [True, False, True]
    assert all(place.window.shape == (1, SIDE, SIDE) for place in places)

    def best(values: np.ndarray, lowest_x: int, highest_x: int) -> float:
        starts = range(0, WIDTH - SIDE + 1, SIDE // 4)
        return max(
            values[y : y + SIDE, x : x + SIDE].sum()
            for y in range(0, HEIGHT - SIDE + 1, SIDE // 4)
            for x in starts
            if lowest_x <= x and x + SIDE <= highest_x
        )

    assert ink[places[0].window.yx].sum() == best(ink, 500, WIDTH)
    assert ink[places[1].window.yx].sum() == best(ink, 0, 500)


def test_places_do_not_overlap_and_come_again(ink: np.ndarray, level: np.ndarray) -> None:
    places = choose_places(segment(ink), ink_map(level), held_out, count=9)
    assert len(places) == 9
    for one, other in combinations(places, 2):
        assert not one.window.overlaps(other.window)
    assert choose_places(segment(ink), ink_map(level), held_out, count=9) == places
    assert choose_places(segment(ink), ink_map(level), held_out, count=2) == places[:2]
    assert choose_places(segment(ink), ink_map(level), held_out, count=9, seed=1) != places


def test_places_lie_where_something_was_predicted(ink: np.ndarray, level: np.ndarray) -> None:
    region = [37, 437, 90, 600]
    places = choose_places(segment(ink), ink_map(level, region=region), None, count=6)
    box = Window((0, 1), (37, 437), (90, 600))
    assert places
    assert all((place.window & box) == place.window for place in places)
    assert not any(place.held_out for place in places)


def test_a_segment_without_a_label_shows_where_the_map_sees_most(level: np.ndarray) -> None:
    level[:, :] = 10
    level[100:220, 300:420] = 250
    places = choose_places(segment(None), ink_map(level), None, count=3)
    assert [place.reason for place in places] == ["Strongest prediction", "At random", "Strongest prediction"]
    y, x = places[0].window.y[0], places[0].window.x[0]
    assert abs(y - 100) <= 30
    assert abs(x - 300) <= 30


def test_a_crumb_has_one_place_and_a_map_without_room_none(ink: np.ndarray, level: np.ndarray) -> None:
    crumb = choose_places(segment(ink), ink_map(level, region=[0, 60, 0, 50]), None, count=4)
    assert len(crumb) <= 1
    assert choose_places(segment(ink), ink_map(level, region=[0, 2, 0, 50]), None, count=4) == ()
