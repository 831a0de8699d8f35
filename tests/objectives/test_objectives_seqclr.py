from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.models.heads import build_head
from volumen.objectives.contrast import symmetric_nce
from volumen.objectives.instances import map_instances
from volumen.objectives.seqclr import SeqClr

MAPPINGS = ("all", "window", "frame")


@dataclass(frozen=True)
class Frames:
    values: torch.Tensor
    lengths: torch.Tensor


class Columns(torch.nn.Module):
    """A recogniser in small: a frame is a linear map of 4 columns of pixels."""

    def __init__(self, height: int = 8, features: int = 6) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = torch.nn.Parameter(torch.randn(height * 4, features, generator=generator, dtype=torch.float64))

    def forward(self, images, widths):
        cut = images[:, 0].unfold(2, 4, 4)  # N H T 4
        values = cut.permute(0, 2, 1, 3).flatten(2) @ self.weight  # N T F
        lengths = widths // 4
        return Frames(values * (torch.arange(values.shape[1]) < lengths[:, None])[:, :, None], lengths)


def lines(seed: int = 0, widths=(40, 24, 12, 80)):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(len(widths), 1, 8, max(widths), generator=generator, dtype=torch.float64)
    second = first + 0.3 * torch.rand(first.shape, generator=generator, dtype=torch.float64)
    return first, second, torch.tensor(widths)


def nt_xent(a, b, temperature=0.1):
    unit = F.normalize(torch.cat([a, b]), dim=1)
    logits = (unit @ unit.T / temperature).masked_fill(torch.eye(len(unit), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(unit)).roll(len(a)))


def instances_by_hand(mapping, values, lengths):
    parts = []
    for line, length in zip(values, lengths.tolist(), strict=True):
        seen = line[:length]
        match mapping:
            case "all":
                parts.append(seen.mean(dim=0, keepdim=True))
            case "window":
                parts.append(seen if length < 5 else F.adaptive_avg_pool1d(seen.T, 5).T)
            case "frame":
                parts.append(seen)
    return torch.cat(parts)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_instances_are_those_made_line_by_line(mapping):
    values, lengths = torch.randn(4, 20, 3, dtype=torch.float64), torch.tensor([20, 3, 7, 1])
    got = map_instances(mapping, values, lengths)
    torch.testing.assert_close(got.values, instances_by_hand(mapping, values, lengths))
    numbers = {"all": [1, 1, 1, 1], "window": [5, 3, 5, 1], "frame": [20, 3, 7, 1]}[mapping]
    assert got.owner.tolist() == [line for line, number in enumerate(numbers) for _ in range(number)]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_a_line_without_frames_has_no_instance(mapping):
    values = torch.randn(3, 6, 2)
    got = map_instances(mapping, values, torch.tensor([6, 0, 6]))
    assert 1 not in got.owner
    assert len(got.values) == len(got.owner) == 2 * {"all": 1, "window": 5, "frame": 6}[mapping]


def test_windows_run_left_to_right():
    ramp = torch.arange(26.0).view(1, 26, 1)
    got = map_instances("window", ramp, torch.tensor([26])).values.flatten()
    assert got.tolist() == [2.5, 7.5, 12.5, 17.5, 22.5]


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("head", ["none", "mlp", "bilstm"])
def test_the_loss_is_nt_xent_on_the_flattened_instances(mapping, head):
    torch.manual_seed(0)
    encoder, project = Columns(), build_head(head, 6).double()
    first, second, widths = lines()
    got = SeqClr(mapping=mapping)(encoder, project, first, second, widths)
    a, b = (
        instances_by_hand(mapping, project(frames.values, frames.lengths), frames.lengths)
        for frames in (encoder(first, widths), encoder(second, widths))
    )
    assert float(got.total.detach()) == pytest.approx(float(nt_xent(a, b).detach()), abs=1e-9)
    assert float(got.terms["instances"]) == len(a)


def test_frame_instances_have_as_many_negatives_as_the_paper_counts():
    """With all alike the loss is the logarithm of the others: 2 Σ T - 1, the positive and 2 Σ T - 2 negatives."""
    first, _, widths = lines()
    flat = torch.ones_like(first)
    loss = SeqClr(mapping="frame")(Columns(), build_head("none", 6), flat, flat, widths).total
    total = int((widths // 4).sum())
    assert float(loss.detach()) == pytest.approx(float(torch.log(torch.tensor(2.0 * total - 1))), rel=1e-6)


def test_all_to_instance_is_simclr_on_mean_features():
    encoder = Columns()
    first, second, widths = lines()
    means = [
        torch.stack(
            [line[:length].mean(dim=0) for line, length in zip(encoder(view, widths).values, widths // 4, strict=True)]
        )
        for view in (first, second)
    ]
    got = SeqClr(mapping="all")(encoder, build_head("none", 6), first, second, widths).total
    assert float(got.detach()) == pytest.approx(float(nt_xent(*means).detach()), abs=1e-9)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_permuting_a_batch_permutes_nothing_else(mapping):
    encoder, head = Columns(), build_head("none", 6)
    first, second, widths = lines()
    order = torch.tensor([2, 0, 3, 1])
    grads = []
    for index in (torch.arange(4), order):
        a, b = first[index].requires_grad_(), second[index].requires_grad_()
        terms = SeqClr(mapping=mapping)(encoder, head, a, b, widths[index])
        terms.total.backward()
        grads.append((terms.total.detach(), a.grad, b.grad))
    torch.testing.assert_close(grads[1], (grads[0][0], grads[0][1][order], grads[0][2][order]))


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("head", ["none", "bilstm"])
def test_padding_a_line_changes_nothing(mapping, head):
    torch.manual_seed(0)
    encoder, project = Columns(), build_head(head, 6).double()
    first, second, widths = lines()
    loss = SeqClr(mapping=mapping)
    wide = [F.pad(view, (0, 60), value=7.0) for view in (first, second)]
    plain = loss(encoder, project, first, second, widths)
    padded = loss(encoder, project, *wide, widths)
    torch.testing.assert_close(padded.total, plain.total, atol=1e-12, rtol=0)
    torch.testing.assert_close(padded.terms, plain.terms)


def test_the_encoder_and_the_head_learn():
    encoder, head = Columns(), build_head("mlp", 6).double()
    first, second, widths = lines()
    SeqClr()(encoder, head, first, second, widths).total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in (*encoder.parameters(), *head.parameters()))


def test_both_views_go_through_the_encoder_together_and_read_outs_come_when_asked():
    seen = []

    def encoder(images, widths):
        seen.append(images.shape)
        return Columns()(images, widths)

    first, second, widths = lines()
    short = SeqClr()(encoder, build_head("none", 6), first, second, widths, look=False)
    assert seen == [(8, 1, 8, 80)]
    assert set(short.terms) == {"matched", "instances"}
    full = SeqClr()(encoder, build_head("none", 6), first, second, widths)
    assert set(full.terms) == {"matched", "instances", "alignment", "uniformity", "effective_rank"}
    assert not any(term.requires_grad for term in full.terms.values())


def test_equal_views_align_and_other_lines_do_not_match_better():
    first, _, widths = lines()
    terms = SeqClr()(Columns(), build_head("none", 6), first, first, widths).terms
    assert float(terms["alignment"]) == 0
    assert float(terms["matched"]) == 1


def test_bad_settings_and_batches_are_named():
    first, second, widths = lines()
    head = build_head("none", 6)
    with pytest.raises(SettingsError, match="all, window, frame; got 'line'"):
        SeqClr(mapping="line")
    with pytest.raises(SettingsError, match="above 0"):
        SeqClr(temperature=0)
    with pytest.raises(SettingsError, match="one shape"):
        SeqClr()(Columns(), head, first, second[:2], widths)
    with pytest.raises(SettingsError, match="at least one"):
        SeqClr()(Columns(), head, first, second, torch.zeros_like(widths))
    with pytest.raises(SettingsError, match="all, window, frame; got 'line'"):
        map_instances("line", torch.zeros(1, 2, 3), torch.tensor([2]))


def test_terms_of_the_nce_and_of_the_objective_agree_whatever_the_chunk():
    first, second, widths = lines()
    encoder, head = Columns(), build_head("none", 6)
    instances = [map_instances("frame", *vars(encoder(view, widths)).values()).values for view in (first, second)]
    loss, matched = symmetric_nce(*instances, temperature=0.2)
    terms = SeqClr(mapping="frame", temperature=0.2, chunk=100)(encoder, head, first, second, widths)
    torch.testing.assert_close((terms.total, terms.terms["matched"]), (loss, matched))
