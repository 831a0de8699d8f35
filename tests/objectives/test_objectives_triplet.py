from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from volumen.errors import SettingsError
from volumen.objectives.triplet import Triplet, rising_margin, tag_overlap


def batch(number=14, tags=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(number, 5, generator=generator, dtype=torch.float64), dim=1)
    return embeddings, torch.rand(number, tags, generator=generator) > 0.5


def slow_overlap(a, b):
    a, b = set(a.nonzero()[:, 0].tolist()), set(b.nonzero()[:, 0].tolist())
    return len(a & b) / len(a | b) if a | b else math.nan


def slow_triplets(embeddings, tags, miner, alike, unlike, margin):
    """Return the violations of the mined triplets, one by one, and how many were mined."""
    number = range(len(tags))

    def d(i, j):
        return math.dist(embeddings[i].tolist(), embeddings[j].tolist())

    found = []
    for a in number:
        positives = [j for j in number if j != a and slow_overlap(tags[a], tags[j]) >= alike]
        negatives = [j for j in number if j != a and slow_overlap(tags[a], tags[j]) <= unlike]
        if miner == "all":
            found += [d(a, p) - d(a, n) for p in positives for n in negatives]
        elif miner == "hard" and positives and negatives:
            found.append(max(d(a, p) for p in positives) - min(d(a, n) for n in negatives))
        elif miner == "semi-hard":
            for p in positives:
                farther = [d(a, n) for n in negatives if d(a, n) > d(a, p)]
                found += [d(a, p) - min(farther)] if farther else []
    violations = [max(0.0, gap + margin) for gap in found]
    kept = [each for each in violations if each > 0] if miner == "all" else violations
    return (sum(kept) / len(kept) if kept else 0.0), len(found), sum(each > 0 for each in violations)


@pytest.mark.parametrize("miner", ["all", "semi-hard", "hard"])
@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_every_miner_takes_the_triplets_that_loops_find(miner, margin):
    for seed in range(4):
        embeddings, tags = batch(seed=seed)
        got = Triplet(miner=miner, alike=0.5, unlike=0.3)(embeddings, tags, margin)
        total, count, violating = slow_triplets(embeddings, tags, miner, 0.5, 0.3, margin)
        assert count  # else there is nothing to compare
        assert float(got.total) == pytest.approx(total, abs=1e-9)
        assert float(got.terms["triplets"]) == count
        assert float(got.terms["violating"]) == pytest.approx(violating / count)


@pytest.mark.parametrize("miner", ["all", "semi-hard", "hard"])
def test_gradients_are_those_of_finite_differences(miner):
    embeddings, tags = batch(number=8, seed=3)
    loss = Triplet(miner=miner, alike=0.5, unlike=0.3)
    given = (1.1 * embeddings).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, tags, 0.4, look=False).total, (given,), atol=1e-6)


def test_overlap_is_intersection_over_union_and_undefined_of_nothing():
    tags = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]])
    found = tag_overlap(tags)
    for i in range(4):
        for j in range(4):
            assert float(found[i, j]) == pytest.approx(slow_overlap(tags[i], tags[j]), nan_ok=True)
    positive, negative = Triplet().pairs(tags)
    assert not positive[2, 3]
    assert not negative[2, 3]
    assert negative[0, 2]  # something and nothing share nothing


@pytest.mark.parametrize("miner", ["all", "semi-hard", "hard"])
def test_without_triplets_the_total_and_every_gradient_are_zero(miner):
    embeddings = torch.randn(4, 3, requires_grad=True)
    got = Triplet(miner=miner)(embeddings, torch.ones(4, 2), 1.0)
    got.total.backward()
    assert float(got.total.detach()) == 0
    assert not embeddings.grad.any()
    assert math.isnan(float(got.terms["violating"]))


def test_collapse_shows_as_a_loss_of_the_margin_and_in_the_read_outs():
    _, tags = batch()
    point = torch.ones(len(tags), 5)
    got = Triplet(miner="hard", alike=0.5, unlike=0.3)(point, tags, 0.7)
    assert float(got.total) == pytest.approx(0.7)
    assert float(got.terms["uniformity"]) == pytest.approx(0, abs=1e-6)
    assert float(got.terms["effective_rank"]) == pytest.approx(1, abs=1e-3)
    spread = Triplet(miner="hard", alike=0.5, unlike=0.3)(batch()[0], tags, 0.7)
    assert float(spread.terms["effective_rank"]) > 3


def test_descending_the_loss_brings_what_is_alike_together():
    tags = torch.eye(2).repeat_interleave(6, dim=0)
    torch.manual_seed(0)
    free = torch.randn(12, 4, requires_grad=True)
    loss = Triplet(miner="semi-hard")
    before = loss(F.normalize(free.detach(), dim=1), tags, 0.5).terms["nearest_alike"]
    for _ in range(60):
        (gradient,) = torch.autograd.grad(loss(F.normalize(free, dim=1), tags, 0.5, look=False).total, free)
        free = (free - 0.5 * gradient).detach().requires_grad_()
    after = loss(F.normalize(free.detach(), dim=1), tags, 0.5).terms["nearest_alike"]
    assert float(before) < 0.9
    assert float(after) == 1


def test_the_margin_rises_to_its_end_and_stays():
    margins = [rising_margin(step, steps=10, first=0.1, last=0.9, rise=0.5) for step in range(10)]
    assert margins[:5] == pytest.approx([0.1, 0.26, 0.42, 0.58, 0.74])
    assert margins[5:] == [0.9] * 5
    assert rising_margin(0, steps=10, first=0.1, last=0.9, rise=0.0) == 0.9


def test_what_does_not_fit_is_refused():
    with pytest.raises(SettingsError, match="Miners are"):
        Triplet(miner="easy")
    with pytest.raises(SettingsError, match="unlike"):
        Triplet(alike=0.2, unlike=0.2)
    with pytest.raises(SettingsError, match="same images"):
        Triplet()(torch.zeros(3, 2), torch.zeros(4, 2), 1.0)
