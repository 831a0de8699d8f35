import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from volumen.errors import SettingsError
from volumen.models.layout import Layout
from volumen.models.packed import pack, unpack

CHANNELS = 4


@st.composite
def cases(draw):
    """Images in float64, a mask with any number visible, and a window that keeps the grid of its patches."""
    count, rows, columns = (draw(st.integers(1, 3)) for _ in range(3))
    side = draw(st.sampled_from([1, 2, 4, 8]))
    visible = torch.tensor([draw(st.booleans()) for _ in range(count * rows * columns)]).view(count, rows, columns)
    visible[0, 0, 0] = True
    torch.manual_seed(draw(st.integers(0, 999)))
    image = torch.randn(count, CHANNELS, rows * side, columns * side, dtype=torch.float64)
    return image, visible, side, *zip(draw(windows(side)), draw(windows(side)), strict=True)


@st.composite
def windows(draw, side):
    """Kernel, stride, padding and dilation along one axis."""
    stride = draw(st.sampled_from([stride for stride in (1, 2, 4) if side % stride == 0]))
    kernel, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 2))
    reach = dilation * (kernel - 1)
    paddings = [padding for padding in range(kernel) if 0 <= reach - 2 * padding < stride]
    return (kernel, stride, draw(st.sampled_from(paddings)), dilation) if paddings else (3, stride, 1, 1)


def spread(visible, height, width):
    _, rows, columns = visible.shape
    return visible.repeat_interleave(height // rows, 1).repeat_interleave(width // columns, 2)[:, None]


def assert_same(window, image, visible, side, parameters=()):
    """On packed patches a window gives the output and gradients that it gives on masked images."""
    ours, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    seen = unpack(window(pack(ours, Layout.of(visible), side)))
    expected = window(theirs * spread(visible, *image.shape[2:]))
    expected = expected.masked_fill(~spread(visible, *expected.shape[2:]), 0)
    torch.testing.assert_close(seen, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad((output * weights).sum(), [start, *parameters])
        for output, start in ((seen, ours), (expected, theirs))
    ]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@given(cases(), st.sampled_from([1, 2, CHANNELS]), st.booleans())
@settings(max_examples=150)
def test_convolution(case, groups, biased):
    image, visible, side, kernel, stride, padding, dilation = case
    weight = torch.randn(8, CHANNELS // groups, *kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(8, dtype=torch.float64, requires_grad=True) if biased else None
    assert_same(
        lambda blocks: functional.conv2d(blocks, weight, bias, stride, padding, dilation, groups),
        image,
        visible,
        side,
        [weight, bias] if biased else [weight],
    )


@given(cases())
@settings(max_examples=80)
def test_max_pooling_sees_zeros_where_masked_and_nothing_outside(case):
    image, visible, side, kernel, stride, padding, dilation = case
    image = image - 2  # mostly negative: neither zeros nor edges may be taken for each other
    assume(all(2 * before <= across for before, across in zip(padding, kernel, strict=True)))  # torch asks for it
    # Dilated windows may step over the image altogether; their gradient goes anywhere.
    assume(functional.max_pool2d(image, kernel, stride, padding, dilation).isfinite().all())
    assert_same(lambda blocks: functional.max_pool2d(blocks, kernel, stride, padding, dilation), image, visible, side)


@given(cases())
@settings(max_examples=80)
def test_average_pooling(case):
    image, visible, side, kernel, stride, padding, dilation = case
    if dilation != (1, 1):
        kernel, padding = (3, 5), (1, 2)
    assert_same(lambda blocks: functional.avg_pool2d(blocks, kernel, stride, padding), image, visible, side)


@pytest.mark.parametrize(
    "window",
    [
        lambda blocks: functional.max_pool2d(blocks, 3, 2, ceil_mode=True),
        lambda blocks: functional.max_pool2d(blocks, 2),
        lambda blocks: functional.avg_pool2d(blocks, 2, ceil_mode=True, count_include_pad=False),
        lambda blocks: functional.avg_pool2d(blocks, 3, 1, 1, divisor_override=4),
        lambda blocks: functional.conv2d(blocks, torch.ones(2, CHANNELS, 4, 2, dtype=torch.float64), padding="same"),
        lambda blocks: functional.conv2d(blocks, torch.ones(2, CHANNELS, 2, 2, dtype=torch.float64), stride=[2]),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_less_usual_arguments(window):
    torch.manual_seed(0)
    visible = torch.rand(2, 3, 2) < 0.6
    visible[0, 0, 0] = True
    image = torch.randn(2, CHANNELS, 12, 8, dtype=torch.float64) - 1
    assert_same(window, image, visible, 4)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (lambda blocks: functional.conv2d(blocks, torch.ones(2, CHANNELS, 3, 3)), "window of 3 px with stride 1 and 0"),
        (lambda blocks: functional.conv2d(blocks, torch.ones(2, CHANNELS, 1, 1), padding=1), "2 px of padding"),
        (lambda blocks: functional.conv2d(blocks, torch.ones(2, CHANNELS, 3, 3), stride=3), "stride 3 does not divide"),
        (lambda blocks: functional.max_pool2d(blocks, 3, 2), "does not turn n px into n / 2"),
        (lambda blocks: functional.max_pool2d(blocks, 2, 2, ceil_mode=True, padding=1), "does not turn"),
        (lambda blocks: functional.max_pool2d(blocks, 2, return_indices=True), r"calls max_pool2d_with_indices\(\)"),
        (lambda blocks: functional.avg_pool2d(blocks, 3, 1, 1, count_include_pad=False), "fewer values at the"),
        (lambda blocks: functional.avg_pool2d(blocks, 3, 2, ceil_mode=True), "fewer values at the"),
    ],
)
def test_windows_that_do_not_keep_the_grid_are_refused(window, message):
    with pytest.raises(SettingsError, match=message):
        window(pack(torch.zeros(1, CHANNELS, 4, 8), Layout.of(torch.ones(1, 1, 2, dtype=torch.bool)), 4))
