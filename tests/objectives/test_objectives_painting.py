from __future__ import annotations

import pytest
import torch

from volumen.errors import SettingsError
from volumen.models.line_painter import LinePainter
from volumen.models.recognizer.recognizer import Recognizer
from volumen.objectives.painting import Painting, paint_hidden, score_painting
from volumen.views.cells import draw_cells

WIDTHS = torch.tensor([61, 40, 9])


def lines(seed: int = 0) -> torch.Tensor:
    """Three lines of other widths, with NaN where nothing should look."""
    images = torch.rand(3, 1, 32, 64, generator=torch.Generator().manual_seed(seed))
    images[torch.arange(64).expand(3, 1, 32, 64) >= WIDTHS[:, None, None, None]] = torch.nan
    return images


def mask(seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return draw_cells(WIDTHS, 32, 64, cell=8, masked=0.6)


def nothing(images, widths, hidden):
    """An encoder whose frames say nothing."""


def says(pixels):
    """A head that says these pixels, whatever the frames."""
    return lambda frames: pixels


def small(seed: int = 0) -> tuple[Recognizer, LinePainter]:
    torch.manual_seed(seed)
    encoder = Recognizer(1 / 16)
    return encoder, LinePainter(encoder.features, 32, encoder.resnet.map_channels, width=16)


def test_the_loss_is_that_of_a_loop_over_pixels():
    images, hidden, said = lines(), mask(), torch.randn(3, 1, 32, 68)
    got = score_painting(paint_hidden(nothing, says(said), images, WIDTHS, hidden), images, WIDTHS)
    errors, mean_errors, pixels = [], [], 0
    for index, width in enumerate(WIDTHS.tolist()):
        places = [(index, 0, y, x) for y in range(32) for x in range(width)]
        seen = [float(images[place]) for place in places if not hidden[place]]
        mean = sum(seen) / len(seen)
        errors += [(mean + float(said[place]) - float(images[place])) ** 2 for place in places if hidden[place]]
        mean_errors += [(mean - float(images[place])) ** 2 for place in places if hidden[place]]
        pixels += len(places)
    assert float(got.total) == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert float(got.terms["mean_error"]) == pytest.approx(sum(mean_errors) / len(mean_errors), rel=1e-5)
    assert float(got.terms["hidden"]) == pytest.approx(len(errors) / pixels)


def test_a_perfect_painter_loses_nothing_and_one_that_says_nothing_has_the_error_of_the_mean():
    images, hidden = lines(), mask()
    blank = paint_hidden(nothing, says(torch.zeros(3, 1, 32, 64)), images, WIDTHS, hidden)
    terms = score_painting(blank, images, WIDTHS)
    assert float(terms.total) == float(terms.terms["mean_error"]) > 0.05
    perfect = paint_hidden(nothing, says(images - blank.mean), images, WIDTHS, hidden)
    assert float(score_painting(perfect, images, WIDTHS).total) < 1e-12
    within = ~images.isnan()
    torch.testing.assert_close(perfect.completed[within], images[within])


def test_the_encoder_sees_what_is_not_hidden_and_the_mean_of_that_elsewhere():
    images, hidden, shown = lines(), mask(), []

    def spy(given, widths, covered):
        shown.append(given)
        assert torch.equal(covered, hidden)

    spoiled = torch.where(hidden, torch.nan, images)
    for given in (images, spoiled):
        paint_hidden(spy, says(torch.zeros(3, 1, 32, 64)), given, WIDTHS, hidden)
    assert torch.equal(*shown), "what is hidden does not reach the encoder in any way"
    seen = ~hidden & ~images.isnan()
    assert torch.equal(shown[0][seen], images[seen])
    for line, covered, kept in zip(shown[0], hidden, seen, strict=True):
        torch.testing.assert_close(line[covered], line[kept].mean().expand(int(covered.sum())))


def test_seen_pixels_and_padding_carry_no_loss():
    images, hidden = lines(), mask()
    said = torch.randn(3, 1, 32, 64, requires_grad=True)
    terms = score_painting(paint_hidden(nothing, says(said), images, WIDTHS, hidden), images, WIDTHS)
    terms.total.backward()
    assert torch.equal(said.grad != 0, hidden)


def test_a_mask_that_reaches_into_the_padding_counts_only_within_the_lines():
    images, hidden, said = lines(), mask(), torch.randn(3, 1, 32, 64)
    whole = hidden | images.isnan()
    for name in ("total", "terms"):
        clean, wide = (
            getattr(score_painting(paint_hidden(nothing, says(said), images, WIDTHS, cut), images, WIDTHS), name)
            for cut in (hidden, whole)
        )
        torch.testing.assert_close(clean, wide)


def test_padding_changes_neither_the_loss_nor_its_gradients():
    found = []
    for padding in (0, 20):
        encoder, head = (part.double() for part in small())
        images, hidden = (torch.nn.functional.pad(tensor, (0, padding)) for tensor in (lines().double(), mask()))
        terms = score_painting(paint_hidden(encoder, head, images, WIDTHS, hidden), images, WIDTHS)
        terms.total.backward()
        gradients = [parameter.grad for part in (encoder, head) for parameter in part.parameters()]
        found.append((terms.total.detach(), terms.terms, torch.cat([gradient.flatten() for gradient in gradients])))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-9)
    assert found[0][2].abs().max() > 0.01


def test_gradients_reach_every_weight():
    encoder, head = small()
    Painting()(encoder, head, lines(), WIDTHS).total.backward()
    for part in (encoder, head):
        for name, parameter in part.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_stripes_are_painted_better_than_by_their_mean():
    encoder, head = small()
    images = (torch.arange(64) // 4 % 2).float().expand(4, 1, 32, 64)
    widths = torch.full((4,), 64)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(60):
        terms = Painting()(encoder, head, images, widths)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
    assert float(terms.total.detach()) < 0.2 * float(terms.terms["mean_error"])


def test_a_step_is_drawn_from_torchs_random_state():
    encoder, head = small()
    totals = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        totals.append(float(Painting()(encoder.eval(), head, lines(), WIDTHS).total.detach()))
    assert totals[0] == totals[1] != totals[2]


def test_what_is_masked_reaches_nothing_that_is_painted():
    encoder, head = (part.double() for part in small())
    images, hidden = lines().double(), mask()
    spoiled = torch.where(hidden, 1 - images, images)
    with torch.no_grad():
        frames = [encoder(given, WIDTHS, hidden) for given in (images, spoiled)]
        assert torch.equal(frames[0].values, frames[1].values)
        assert torch.equal(head(frames[0]), head(frames[1]))
        assert not torch.equal(frames[0].values, encoder(images, WIDTHS, ~hidden).values)


def test_the_encoders_maps_reach_what_is_painted_and_so_do_its_frames():
    encoder, head = small()
    frames = encoder(lines(), WIDTHS, mask())
    found = [frames.values, *(one.values for one in frames.maps)]
    gradients = torch.autograd.grad(head(frames).square().sum(), found)
    assert len(gradients) == 3
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_half_precision_is_scored_in_single():
    images, hidden, said = lines(), mask(), torch.randn(3, 1, 32, 64).bfloat16()
    rough = score_painting(paint_hidden(nothing, says(said), images, WIDTHS, hidden), images, WIDTHS).total
    exact = score_painting(paint_hidden(nothing, says(said.float()), images, WIDTHS, hidden), images, WIDTHS).total
    assert rough.dtype == torch.float32
    assert float(rough) == float(exact)


def test_what_does_not_fit_is_said():
    encoder, _ = small()
    with pytest.raises(SettingsError, match=r"\(3, 1, 24, 64\). Build it for the height"):
        Painting()(encoder, lambda frames: torch.zeros(3, 1, 24, 64), lines(), WIDTHS)
    with pytest.raises(SettingsError, match=r"\(3, 1, 32, 64\) and \(2,\)"):
        Painting()(encoder, says(lines()), lines(), WIDTHS[:2])
    with pytest.raises(SettingsError, match=r"got 1\.0 and 8 px"):
        Painting(masked=1.0)
    with pytest.raises(SettingsError, match="got 16, 36, 2 and 64"):
        LinePainter(16, 36, (8, 16))
