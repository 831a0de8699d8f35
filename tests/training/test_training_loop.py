from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from small_lesson import BATCH, PEAK, STEPS, Lesson, SmallNet, same, story, weights_of
from torch import nn

from volumen.errors import CheckpointError, DivergedError, OutOfMemoryError, SettingsError
from volumen.events import Saved, Scored, Started, Stepped, Warned
from volumen.objectives.terms import LossTerms
from volumen.training.optimizers import Rates, decay_cosine, lamb, warm_up_cosine
from volumen.training.run import Run

if TYPE_CHECKING:
    from pathlib import Path


def fresh(path: Path, name: str = "run") -> Run:
    return Run.create(path / name, {"verb": "lesson"})


def outcome(generator):
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def test_loss_falls_and_every_event_is_told_once(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    told = list(Lesson(epochs=6).train(run))
    assert told == list(run.events())
    steps = [event for event in told if isinstance(event, Stepped)]
    assert [event.done for event in steps] == list(range(1, 6 * STEPS + 1))
    assert {event.total for event in steps} == {6 * STEPS}
    scored = [event for event in told if isinstance(event, Scored)]
    assert [event.step for event in scored] == [1, 2, 3, 4, 5, 6]
    assert scored[-1].scores["loss"] < 0.8 * scored[0].scores["loss"]
    for epoch, event in enumerate(scored):
        losses = [step.values["loss"] for step in steps[epoch * STEPS : (epoch + 1) * STEPS]]
        assert event.scores["train_loss"] == pytest.approx(sum(losses) / STEPS)
    assert isinstance(told[0], Started)
    assert steps[0].values["learning_rate"] == PEAK


def test_one_step_is_adamw_on_clipped_gradients(tmp_path: Path) -> None:
    """Against the same step written out by hand, without dropout to draw."""

    lesson = Lesson(epochs=1, clip_norm=0.01, save_seconds=0, plain=True)
    run = fresh(tmp_path)
    steps = (event for event in lesson.train(run) if isinstance(event, Stepped))
    first = next(steps)
    next(steps)  # by now the state after step 1 is saved
    got = run.load_state()["stepper"]["weights"]

    model = lesson.model().train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decay = [1e-2 if parameter.ndim > 1 else 0.0 for parameter in trained]
    lesson.objective(model, lesson.samples(0, 0)).total.backward()
    norm = torch.sqrt(sum(parameter.grad.square().sum() for parameter in trained))
    assert first.values["gradient_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert norm > 0.01
    for parameter, weight_decay in zip(trained, decay, strict=True):
        gradient = parameter.grad * 0.01 / norm
        # AdamW's first step: both moments are corrected to g and g²
        parameter.data -= PEAK * weight_decay * parameter.data + PEAK * gradient / (gradient.abs() + 1e-8)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    list(Lesson(epochs=1).train(run))
    before, after = Lesson().model().state_dict(), run.load_state()["stepper"]["weights"]
    assert torch.equal(before["frozen.weight"], after["frozen.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize("stop", [1, 2, 6, 7, 8, 11, 14, 19])
def test_stopped_anywhere_and_resumed_ends_the_same(tmp_path: Path, stop: int) -> None:
    unbroken = fresh(tmp_path, "unbroken")
    list(Lesson(save_seconds=0).train(unbroken))
    broken = fresh(tmp_path, "broken")
    list(itertools.islice(Lesson(save_seconds=0).train(broken), stop))
    torch.rand(7)  # whatever else the process draws must not matter
    told = list(Lesson(save_seconds=0).train(Run.open(broken.path)))
    assert isinstance(told[0], Started)
    assert same(weights_of(unbroken), weights_of(broken))
    assert story(unbroken) == story(broken)
    best = [load_file(run.best_path) for run in (unbroken, broken)]
    assert same(*best)


def test_closing_keeps_what_was_done_since_the_last_save(tmp_path: Path) -> None:
    unbroken = fresh(tmp_path, "unbroken")
    list(Lesson(save_seconds=1e9).train(unbroken))
    broken = fresh(tmp_path, "broken")
    lesson = Lesson(save_seconds=1e9).train(broken)
    list(itertools.islice(lesson, 4))  # Started and three steps of the first epoch
    assert broken.load_state() is None
    lesson.close()
    assert broken.load_state()["step"] == 3
    _, *told = Lesson(save_seconds=1e9).train(Run.open(broken.path))
    assert told[0].done == 4
    assert same(weights_of(unbroken), weights_of(broken))
    assert story(unbroken) == story(broken)


class Published(Lesson):
    """As SparK trains: LAMB, which clips by itself, a warm-up and a weight decay that rises."""

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return lamb(model, learning_rate=PEAK, weight_decay=0.04)

    def rates(self, step: int) -> Rates:
        steps = STEPS * self.epochs
        return Rates(warm_up_cosine(step, steps=steps, warm_up=STEPS, peak=PEAK), decay_cosine(step, steps=steps))


@pytest.mark.parametrize("stop", [1, 4, 7, 8, 13, 19])
def test_lamb_and_its_schedules_stopped_anywhere_and_resumed_end_the_same(tmp_path: Path, stop: int) -> None:
    unbroken, broken = fresh(tmp_path, "unbroken"), fresh(tmp_path, "broken")
    list(Published(save_seconds=0, clip_norm=None).train(unbroken))
    list(itertools.islice(Published(save_seconds=0, clip_norm=None).train(broken), stop))
    list(Published(save_seconds=0, clip_norm=None).train(Run.open(broken.path)))
    assert same(weights_of(unbroken), weights_of(broken))
    assert story(unbroken) == story(broken)
    groups = [run.load_state()["stepper"]["optimizer"]["param_groups"] for run in (unbroken, broken)]
    assert str(groups[0]) == str(groups[1])


def test_steps_tell_the_rates_that_are_scheduled(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    steps = [event.values for event in Published(clip_norm=None).train(run) if isinstance(event, Stepped)]
    assert [values["learning_rate"] for values in steps[:: STEPS * 3 - 1]] == pytest.approx(
        [0.005 * PEAK, 0.001 * PEAK]
    )
    assert steps[STEPS]["learning_rate"] == pytest.approx(PEAK)
    assert [values["weight_decay"] for values in steps[:: STEPS * 3 - 1]] == pytest.approx([0.04, 0.2])
    plain = [event.values for event in Lesson(epochs=1).train(fresh(tmp_path, "b")) if isinstance(event, Stepped)]
    assert "weight_decay" not in plain[0]


@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_gradients_are_clipped_where_asked_and_nowhere_else(tmp_path: Path, clip_norm: float | None) -> None:
    class Descent(Lesson):
        def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.SGD([parameter for parameter in model.parameters() if parameter.requires_grad])

    run = fresh(tmp_path)
    steps = (event for event in Descent(plain=True, clip_norm=clip_norm, save_seconds=0).train(run))
    first = next(event for event in steps if isinstance(event, Stepped))
    next(steps)
    before, after = dict(Descent(plain=True).model().named_parameters()), run.load_state()["stepper"]["weights"]
    moved = torch.sqrt(sum((after[name] - weight.detach()).square().sum() for name, weight in before.items()))
    norm = first.values["gradient_norm"]
    assert norm > 1e-2
    assert float(moved) == pytest.approx(PEAK * (norm if clip_norm is None else clip_norm), rel=1e-3)


def test_resuming_an_ended_training_does_nothing_twice(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    list(Lesson(epochs=1).train(run))
    before = story(run)
    assert [type(event) for event in Lesson(epochs=1).train(run)] == [Started]
    assert story(run) == before


def test_the_time_of_a_training_is_that_of_all_its_sessions(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    list(itertools.islice(Lesson(pause=0.01, save_seconds=0).train(run), 9))
    before = run.load_state()["seconds"]
    assert before >= 0.06
    whole = outcome(Lesson(pause=0.01, save_seconds=0).train(run))
    assert whole.seconds >= before + 0.06
    assert outcome(Lesson().train(run)).seconds >= run.load_state()["seconds"] >= before + 0.06


def test_the_model_is_left_ready_to_be_used_also_where_nothing_was_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SmallNet] = []
    build = Lesson.model
    monkeypatch.setattr(Lesson, "model", lambda lesson: made.append(build(lesson)) or made[-1])
    run = fresh(tmp_path)
    for _ in range(2):
        list(Lesson(epochs=1).train(run))
    unbroken, resumed = made
    image = Lesson().samples(99, 0)["image"]
    assert not unbroken.training
    assert torch.equal(resumed(image), unbroken(image))


def test_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    run = fresh(tmp_path)

    class Quiet(Lesson):
        def model(self) -> nn.Module:
            with torch.random.fork_rng():
                return super().model()

    before = torch.get_rng_state()
    list(Quiet(epochs=1).train(run))
    assert torch.equal(before, torch.get_rng_state())


class Scripted(Lesson):
    """Scores that were written down before."""

    marks = (0.5, 0.7, float("nan"), 0.6, 0.9)

    def train(self, run):
        self.left = enumerate(self.marks, start=1)
        return super().train(run)

    def validate(self, model: nn.Module, epoch: int) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        expected, mark = next(self.left)
        assert epoch == expected
        return {"auc": mark}


@pytest.mark.parametrize(("patience", "epochs", "best"), [(2, 4, 2), (0, 5, 5), (3, 5, 5)])
def test_patience_and_best(tmp_path: Path, patience: int, epochs: int, best: int) -> None:
    run = fresh(tmp_path)
    end = outcome(Scripted(epochs=5, patience=patience, score="auc").train(run))
    assert (end.epochs, end.stopping.best_epoch, end.stopped_early) == (epochs, best, epochs < 5)
    scored = [event for event in run.events() if isinstance(event, Scored)]
    assert [event.step for event in scored if event.best] == [epoch for epoch in (1, 2, 5) if epoch <= epochs]
    assert sum(isinstance(event, Saved) for event in run.events()) == sum(event.best for event in scored)


def test_best_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    kept = {}
    for event in Scripted(epochs=4, score="auc").train(run):
        if isinstance(event, Scored):
            kept[event.step] = run.load_state()["stepper"]["weights"]
    best = load_file(run.best_path)
    assert same(best, kept[2])
    assert not same(best, kept[4])


def test_unknown_score(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'auc'"):
        list(Lesson(score="auc").train(fresh(tmp_path)))


def test_too_few_batches(tmp_path: Path) -> None:
    class Short(Lesson):
        def batches(self, fabric, epoch, first):
            return itertools.islice(super().batches(fabric, epoch, first), 3)

    with pytest.raises(SettingsError, match="ended at step 3"):
        list(Short().train(fresh(tmp_path)))


class Tight(Lesson):
    """A device that holds so many samples and no more."""

    room = 3

    def objective(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> LossTerms:
        if model.training and len(batch["image"]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().objective(model, batch)


def test_out_of_memory_goes_on_in_parts_with_the_same_gradient(tmp_path: Path) -> None:
    whole, parts = fresh(tmp_path, "whole"), fresh(tmp_path, "parts")
    list(Lesson(epochs=1, plain=True).train(whole))
    told = list(Tight(epochs=1, plain=True).train(parts))
    assert [type(event) for event in told[:4]] == [Started, Warned, Warned, Stepped]
    assert sum(isinstance(event, Warned) for event in told) == 2
    assert f"with {BATCH} samples; going on with 2 at a time" in told[2].message
    assert "(norms, Dice, negatives, triplets) now sees these smaller parts" in told[2].message
    expected, got = weights_of(whole), weights_of(parts)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-3, atol=1e-5)


def test_out_of_memory_then_resumed_ends_the_same(tmp_path: Path) -> None:
    unbroken, broken = fresh(tmp_path, "unbroken"), fresh(tmp_path, "broken")
    list(Tight(epochs=2, save_seconds=0).train(unbroken))
    list(itertools.islice(Tight(epochs=2, save_seconds=0).train(broken), 6))
    list(Tight(epochs=2, save_seconds=0).train(broken))
    assert same(weights_of(unbroken), weights_of(broken))
    assert story(unbroken) == story(broken)


def test_no_room_for_one_sample(tmp_path: Path) -> None:
    class Tiny(Tight):
        room = 0

    with pytest.raises(OutOfMemoryError, match="one sample"):
        list(Tiny().train(fresh(tmp_path)))


def test_no_room_for_what_the_optimizer_keeps(tmp_path: Path) -> None:
    class Heavy(torch.optim.SGD):
        def step(self, closure=None):
            raise torch.OutOfMemoryError("CUDA out of memory")

    class Burdened(Lesson):
        def optimizer(self, model):
            return Heavy(parameter for parameter in model.parameters() if parameter.requires_grad)

    with pytest.raises(OutOfMemoryError, match="while the weights were changed"):
        list(Burdened().train(fresh(tmp_path)))


def test_other_errors_are_not_taken_for_memory(tmp_path: Path) -> None:
    class Broken(Lesson):
        def objective(self, model, batch):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(Broken().train(fresh(tmp_path)))


def test_divergence_stops_before_the_weights_are_spoiled(tmp_path: Path) -> None:
    class Diverging(Lesson):
        def objective(self, model, batch):
            terms = super().objective(model, batch)
            return LossTerms(total=terms.total * float("nan"), terms=terms.terms) if self.bad else terms

    lesson = Diverging(save_seconds=0)
    lesson.bad = False
    run = fresh(tmp_path)
    training = lesson.train(run)
    list(itertools.islice(training, 4))
    lesson.bad = True
    with pytest.raises(DivergedError, match="loss of step 4 is nan"):
        list(training)
    assert all(torch.isfinite(weight).all() for weight in weights_of(run).values())


def test_state_of_another_model(tmp_path: Path) -> None:
    class Wider(Lesson):
        def model(self):
            model = super().model()
            model.head = nn.Conv2d(8, 2, 1)
            return model

    run = fresh(tmp_path)
    list(Lesson(epochs=1).train(run))
    with pytest.raises(CheckpointError, match="does not fit the model"):
        list(Wider(epochs=1).train(run))


def test_bf16_trains_too(tmp_path: Path) -> None:
    from volumen.training.devices import open_fabric

    run = fresh(tmp_path)
    list(Lesson(epochs=4).train(run, fabric=open_fabric(device="cpu", precision="bf16")))
    scored = [event.scores["loss"] for event in run.events() if isinstance(event, Scored)]
    assert scored[-1] < scored[0]
    assert run.load_state()["stepper"]["weights"]["head.weight"].dtype == torch.float32
