"""Cost: operations by formula for what the counter cannot see, the published figures, and memory worked by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from volumen.errors import SettingsError
from volumen.evaluation.cost import count_flop, measure_cost
from volumen.models.recognizer.decoders import build_decoder
from volumen.models.recognizer.recognizer import Recognizer


def seen_by_torch(run) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_an_lstm_is_counted_by_formula_since_torch_does_not_see_it() -> None:
    lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True, batch_first=True)
    steps = torch.rand(3, 5, 8)
    truth = 3 * 5 * 2 * 2 * 4 * 16 * ((8 + 16) + (32 + 16))  # N T, directions, 2 a product, gates, h (i + h) a layer
    assert count_flop(lstm, lambda: lstm(steps)) == truth
    packed = pack_padded_sequence(steps, torch.tensor([5, 2, 1]), batch_first=True)
    assert count_flop(lstm, lambda: lstm(packed)) == truth * 8 // 15
    assert seen_by_torch(lambda: lstm(steps)) != truth


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("layer", [nn.GRU(8, 16), nn.RNN(8, 16), nn.LSTM(8, 16, proj_size=4)])
def test_what_torch_does_see_is_not_counted_twice(layer: nn.RNNBase) -> None:
    gates = {"GRU": 3, "RNN_TANH": 1, "LSTM": 4}[layer.mode]
    fed = 4 if layer.mode == "LSTM" else 16
    truth = 5 * 2 * 2 * (gates * 16 * (8 + fed) + (4 * 16 if layer.mode == "LSTM" else 0))
    model = nn.ModuleList([layer, nn.Linear(8, 3)])

    def run() -> None:
        layer(torch.rand(5, 2, 8))
        model[1](torch.rand(7, 8))

    assert count_flop(model, run) == truth + 2 * 7 * 8 * 3


def test_attention_is_counted_in_evaluation_as_in_training() -> None:
    layer, x = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), torch.rand(2, 5, 16)
    products = 2 * (4 * 5 * 16 * 16 + 2 * 5 * 5 * 16 + 2 * 5 * 16 * 32)  # four projections, two of attention, two wide
    assert count_flop(layer.eval(), lambda: layer(x)) == 2 * products
    assert count_flop(layer.train(), lambda: layer(x)) == 2 * products
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_published_figures() -> None:
    model = Recognizer().eval()
    images, widths = torch.rand(1, 1, 32, 100), torch.tensor([100])
    cost = measure_cost(model, lambda: model(images, widths), images=1, repeats=1)
    assert cost.gmac == pytest.approx(5.12, abs=0.01)
    assert cost.gflop == pytest.approx(10.24, abs=0.02)
    assert round(cost.parameters / 1e6, 2) == 47.16


def test_cost_is_by_image() -> None:
    model = nn.ModuleList([Recognizer(0.125), build_decoder("ctc", 32, 10)]).eval()

    def read(count: int) -> None:
        model[1].read(model[0](torch.rand(count, 1, 32, 64), torch.full((count,), 64)))

    one, four = (measure_cost(model, partial(read, count), images=count) for count in (1, 4))
    assert four.gflop == pytest.approx(one.gflop)
    assert four.peak_bytes == pytest.approx(one.peak_bytes, rel=0.05)
    assert four.parameters == one.parameters


def test_memory_is_the_most_that_was_there_at_once() -> None:
    kept = torch.zeros(1000)

    def run() -> None:
        first = kept + 1  # 4000 bytes
        second = torch.cat([first, first])  # 8000 more
        del first
        third = second.view(2, 1000)[0]  # a view takes nothing
        del second, third
        kept.add_(1)  # in place: nothing
        kept.view(10, 100).sum()

    assert measure_cost(nn.Identity(), run, images=1).peak_bytes == 12000


def test_seconds_are_those_of_the_median_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    takes = iter([50.0, 50.0, 8.0, 2.0, 4.0])  # counted, watched, then timed three times
    monkeypatch.setattr("volumen.evaluation.cost.time.perf_counter", lambda: clock[0])

    def run() -> None:
        clock[0] += next(takes)

    assert measure_cost(nn.Identity(), run, images=2, repeats=3).seconds == 2.0


def test_a_cost_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 images"):
        measure_cost(nn.Identity(), lambda: None, images=0)
