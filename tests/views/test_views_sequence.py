from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from volumen.errors import SettingsError
from volumen.views.distort import Lattice, Perspective, Slant, Trim, resample
from volumen.views.intensity import LinearContrast, Sharpen, SoftBlur, StrokeWeight
from volumen.views.sequence import SequenceView

SIZES = [(32, 100), (64, 935), (64, 13), (20, 1), (1, 1)]
GEOMETRIC = (Trim, Lattice, Perspective)


def line(height: int = 32, width: int = 100, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed))


def ramp(height: int, width: int) -> torch.Tensor:
    """Return an image in which a pixel's value is its place along the line, in px."""
    return torch.arange(float(width)).expand(1, height, width).contiguous()


def test_contrast_is_drawn_towards_mid_grey():
    given = torch.tensor([[[0.0, 0.25, 0.5, 1.0]]])
    torch.testing.assert_close(LinearContrast(gain=0.5)(given), torch.tensor([[[0.25, 0.375, 0.5, 0.75]]]))


def test_soft_blur_spreads_a_point_by_its_deviation_and_keeps_its_sum():
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    seen = SoftBlur(sigma=1.5)(point)[0].double()
    places = torch.arange(31.0, dtype=torch.float64) - 15
    assert float(seen.sum()) == pytest.approx(1, abs=1e-5)
    assert float((seen.sum(dim=0) * places**2).sum()) == pytest.approx(1.5**2, rel=0.04)  # cut off at three sigma
    torch.testing.assert_close(seen, seen.T)


def test_sharpening_is_the_published_kernel():
    alpha, lightness = 0.3, 0.4
    kernel = alpha * np.array([[-1, -1, -1], [-1, 8 + lightness, -1], [-1, -1, -1]])
    kernel[1, 1] += 1 - alpha
    expected = ndimage.correlate(line()[0].numpy().astype(float), kernel, mode="mirror").clip(0, 1)
    np.testing.assert_allclose(Sharpen(alpha=alpha, lightness=lightness)(line())[0], expected, atol=1e-6)
    torch.testing.assert_close(Sharpen(alpha=0.0, lightness=0.4)(line()), line())


def test_trimming_is_a_crop_stretched_to_the_former_size():
    seen = Trim(top=3, right=10, bottom=5, left=2)(line())
    crop = line()[None, :, 3:27, 2:90]
    # torch repeats the crop's border, not what lies beyond it, so outermost pixels differ
    expected = torch.nn.functional.interpolate(crop, (32, 100), mode="bilinear")[0]
    torch.testing.assert_close(seen[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_distortions_of_nothing_change_nothing():
    still = ((0.0,) * 4,) * 4
    for change in (
        Trim(),
        Slant(degrees=0.0),
        StrokeWeight(amount=0.0),
        Lattice(x=still, y=still),
        Perspective(corners=((0.0, 0.0),) * 4),
    ):
        torch.testing.assert_close(change(line()), line(), atol=1e-5, rtol=0)


def test_a_perspective_shows_its_quadrilateral_from_corner_to_corner():
    corners = ((3.0, 1.0), (5.0, 4.0), (2.0, 6.0), (7.0, 2.0))
    x, y = (torch.arange(100.0).expand(32, 100), torch.arange(32.0)[:, None].expand(32, 100))
    seen_x, seen_y = (Perspective(corners=corners)(place[None].contiguous())[0] for place in (x, y))
    wanted = [(3, 1), (94, 4), (97, 25), (7, 29)]
    for (row, column), (left, top) in zip([(0, 0), (0, -1), (-1, -1), (-1, 0)], wanted, strict=True):
        assert float(seen_x[row, column]) == pytest.approx(left, abs=1e-3)
        assert float(seen_y[row, column]) == pytest.approx(top, abs=1e-3)
    straight = torch.stack([seen_x[7], seen_y[7]]).T.double()  # a straight line stays straight
    across = straight - straight[0]
    direction = across[-1] / across[-1].norm()
    assert float((across[:, 0] * direction[1] - across[:, 1] * direction[0]).abs().max()) < 1e-3


def test_a_slant_leans_strokes_about_the_middle_row():
    stroke = torch.zeros(1, 31, 61)
    stroke[0, :, 30] = 1
    seen = Slant(degrees=20.0)(stroke)[0].double()
    middles = (seen * torch.arange(61.0)).sum(dim=1) / seen.sum(dim=1)
    rows = torch.arange(31, dtype=torch.float64)
    torch.testing.assert_close(middles, 30 + (15 - rows) * math.tan(math.radians(20)), atol=1e-4, rtol=0)


def test_shrunk_writing_stands_on_blank_paper_and_keeps_its_shape():
    stroke = torch.ones(1, 32, 100)
    stroke[0, 8:24, 40:60] = 0
    margins = Trim(top=-3.2, right=-10.0, bottom=-3.2, left=-10.0)
    seen = margins(stroke)[0]
    assert float((1 - seen).sum()) == pytest.approx(16 * 20 / 1.2**2, rel=0.02)
    dark = (seen < 0.5).nonzero().double()
    torch.testing.assert_close(dark.mean(dim=0), torch.tensor([15.5, 49.5], dtype=torch.float64), atol=0.5, rtol=0)
    spots = torch.zeros(1, 32, 100)
    spots[0, ::2, ::2] = 1  # a quarter of it, so that paper is 0
    shown = margins(spots)[0]
    assert not bool(shown[:2].any())
    assert not bool(shown[:, :8].any())
    assert bool(shown[4:28, 10:90].any(dim=0).all())


def test_strokes_grow_heavier_and_lighter():
    stroke = torch.ones(1, 9, 9)
    stroke[0, :, 3:6] = 0
    assert StrokeWeight(amount=1.0)(stroke)[0, 4].tolist() == [1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert StrokeWeight(amount=-1.0)(stroke)[0, 4].tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    torch.testing.assert_close(StrokeWeight(amount=0.25)(stroke)[0, 4, 2], torch.tensor(0.75))


def test_the_list_for_handwriting_leaves_most_of_a_line_and_slants_both_ways():
    drawn = [
        SequenceView(name="handwriting").draw(np.random.default_rng(seed), (1, 32, 100)).changes for seed in range(999)
    ]
    angles = [change.degrees for changes in drawn for change in changes if isinstance(change, Slant)]
    assert -20 <= min(angles) < -19 < 19 < max(angles) <= 20
    assert max(max(c.top, c.bottom) for changes in drawn for c in changes if isinstance(c, Trim)) < 3.2
    assert max(c.sigma for changes in drawn for c in changes if isinstance(c, SoftBlur)) < 0.8


def matched_by_pixels(name: str) -> float:
    """Return the share of windows of words that are nearest, by their pixels, to themselves in another view."""
    generator, view = np.random.default_rng(0), SequenceView(name=name)
    font, rows = ImageFont.load_default(24), []
    for _ in range(60):
        word = "".join(generator.choice([*"abcdefghijklmnopqrstuvwxyz"], size=6))
        image = Image.new("L", (int(font.getlength(word)) + 8, 32), 255)
        ImageDraw.Draw(image).text((4, 0), word, fill=30, font=font)
        line = torch.from_numpy(np.asarray(image) / np.float32(255))[None]
        seen = [view.apply(view.draw(generator, tuple(line.shape)), line) for _ in "ab"]
        small = torch.nn.functional.interpolate(torch.stack(seen), (16, 30), mode="area")
        rows.append(small.reshape(2, 16, 5, 6).permute(0, 2, 1, 3).reshape(2, 5, -1))  # five windows a view
    one, other = torch.cat(rows, dim=1)
    alike = torch.corrcoef(torch.cat([one, other]))[: len(one), len(one) :]
    return float((alike.argmax(dim=1) == torch.arange(len(one))).float().mean())


def test_strong_views_are_not_told_by_their_pixels():
    assert matched_by_pixels("none") > 0.9
    assert matched_by_pixels("handwriting_strong") < 0.1 < matched_by_pixels("handwriting")


def in_other_windows(name: str, size: tuple[int, int]) -> float:
    """Return the share of a view's five windows whose strokes stood nearer to those of another window of a second."""
    view, others, number = SequenceView(name=name), 0, 150
    for seed in range(number):
        places = []
        for half in (0, 1):
            seen = ramp(*size)
            for change in view.draw(np.random.default_rng(2 * seed + half), (1, *size)).changes:
                if isinstance(change, GEOMETRIC):
                    seen = change(seen)
            places.append(torch.nn.functional.adaptive_avg_pool2d(seen, (1, 5)).flatten())
        away = (places[0][:, None] - places[1]).abs()
        others += int((away.argmin(dim=1) != torch.arange(5)).sum())
    return others / (5 * number)


@pytest.mark.parametrize("size", [(64, 65), (32, 100), (32, 300)])
def test_windows_of_two_views_show_the_same_strokes(size):
    assert in_other_windows("seqclr", size) == 0
    assert in_other_windows("handwriting", size) < 0.03
    assert in_other_windows("handwriting_strong", size) < 0.12


def test_a_lattice_moves_its_points_as_it_says():
    drawn = Lattice.draw(np.random.default_rng(0), (31, 91), scale=(0.02, 0.02))
    place = torch.arange(31.0)[:, None].expand(1, 31, 91).contiguous()
    seen = drawn(place)[0]
    for row in (1, 2):  # not the outermost: beyond the border it repeats
        for column in range(4):
            assert float(seen[10 * row, 30 * column]) == pytest.approx(10 * row + drawn.y[row][column], abs=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["light", "handwriting", "handwriting_strong", "seqclr"])
def test_views_keep_size_and_range_and_leave_their_input_alone(size, name):
    view, given = SequenceView(name=name), line(*size)
    for seed in range(20):
        before = given.clone()
        seen = view.apply(view.draw(np.random.default_rng(seed), (1, *size)), given)
        assert seen.shape == given.shape
        assert seen.dtype == torch.float32
        assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
        assert torch.equal(given, before)


@pytest.mark.parametrize("size", SIZES[:3])
def test_letters_stay_in_order_and_near_their_place(size):
    """Along every row what is seen further right stood further right, and moved a few hundredths of the reach."""
    view, reach = SequenceView(name="seqclr"), min(size[1], 100 / 32 * size[0])
    steps, moves = [], []
    for seed in range(150):
        seen = ramp(*size)
        for change in view.draw(np.random.default_rng(seed), (1, *size)).changes:
            if isinstance(change, GEOMETRIC):
                seen = change(seen)
        steps.append(float(seen.diff(dim=2).min()))
        moves.append(float((seen - ramp(*size)).abs().max()))
    assert min(steps) > -0.02  # px: rows that another change has moved are not quite alike
    assert 0.05 * reach < max(moves) < (0.02 + 3 * 0.03 + 3 * 0.02) * reach


@pytest.mark.parametrize("kind", [Lattice.draw, Perspective.draw, Trim.draw_columns])
def test_a_long_line_moves_no_further_than_a_published_one_of_its_height(kind):
    def usual(size):
        changes = [kind(np.random.default_rng(seed), size) for seed in range(100)]
        return np.mean([float((change(ramp(*size)) - ramp(*size)).abs().max()) for change in changes])

    assert 0.8 * usual((32, 100)) < usual((32, 900)) < 1.8 * usual((32, 100))


def test_the_published_list_with_its_strengths():
    view, shape = SequenceView(name="seqclr"), (1, 32, 100)
    drawn = [view.draw(np.random.default_rng(seed), shape).changes for seed in range(3000)]
    assert {len(changes) for changes in drawn} == {1, 2, 3, 4, 5}
    assert all(count == pytest.approx(600, rel=0.15) for count in Counter(map(len, drawn)).values())
    rows = [c for changes in drawn for c in changes if isinstance(c, Trim) and (c.top or c.bottom)]
    columns = [c for changes in drawn for c in changes if isinstance(c, Trim) and (c.left or c.right)]
    others = [
        [c for changes in drawn for c in changes if isinstance(c, kind)]
        for kind in (LinearContrast, SoftBlur, Sharpen, Lattice, Perspective)
    ]
    assert all(len(kind) == pytest.approx(3000 * 3 / 7, rel=0.1) for kind in (rows, columns, *others))
    assert 0.39 * 32 < max(max(c.top, c.bottom) for c in rows) < 0.4 * 32
    assert 1.95 < max(max(c.left, c.right) for c in columns) < 2
    contrast, blur, sharp, _, _ = others
    for numbers, (low, high) in (
        ([c.gain for c in contrast], (0.5, 1.0)),
        ([c.sigma for c in blur], (0.5, 1.5)),
        ([c.alpha for c in sharp], (0.0, 0.5)),
        ([c.lightness for c in sharp], (0.0, 0.5)),
    ):
        assert low <= min(numbers) < low + 0.01
        assert high - 0.01 < max(numbers) <= high
    moves = np.array([lattice.x for lattice in others[3]])
    assert moves.shape[1:] == (4, 4)
    assert 0.02 * 100 < moves.std() < 0.03 * 100
    firsts = Counter(type(changes[0]).__name__ for changes in drawn)
    assert firsts["Trim"] == pytest.approx(3000 * 2 / 7, rel=0.15)
    assert all(firsts[kind.__name__] == pytest.approx(3000 / 7, rel=0.2) for kind in (Lattice, Sharpen, SoftBlur))


def test_light_is_the_part_of_it_that_changes_little():
    kinds = {
        type(change)
        for seed in range(200)
        for change in SequenceView(name="light").draw(np.random.default_rng(seed), (1, 32, 100)).changes
    }
    assert kinds == {LinearContrast, SoftBlur, Trim}


def test_no_view_is_the_line_itself_with_memory_of_its_own():
    view, given = SequenceView(name="none"), line()
    seen = view.apply(view.draw(np.random.default_rng(0), (1, 32, 100)), given)
    assert torch.equal(seen, given)
    assert seen.data_ptr() != given.data_ptr()


def test_a_seed_decides_all_and_the_processs_own_draws_are_left_alone():
    view, state = SequenceView(name="seqclr"), torch.random.get_rng_state()
    first, again, other = (view.draw(np.random.default_rng(seed), (1, 32, 100)) for seed in (3, 3, 4))
    assert first == again != other
    assert torch.equal(view.apply(first, line()), view.apply(again, line()))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_beyond_its_border_an_image_repeats_it():
    seen = resample(line(), torch.full((1, 1), -9.0), torch.full((1, 1), 99.0))
    torch.testing.assert_close(seen, line()[:, -1:, :1])


def test_bad_names_and_shapes_are_said():
    with pytest.raises(SettingsError, match="none, light, handwriting, handwriting_strong, seqclr; got 'flips'"):
        SequenceView(name="flips")
    view = SequenceView()
    with pytest.raises(SettingsError, match=r"drawn for an image \(1, 32, 100\); got \(1, 32, 99\)"):
        view.apply(view.draw(np.random.default_rng(0), (1, 32, 100)), line()[:, :, 1:])
