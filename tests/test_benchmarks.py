"""Benchmarks: what is recorded is what was measured, and a ratio that fell is called slower."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def programs(monkeypatch):
    """The modules that benchmarks share, found as a benchmark finds them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import check
    import record

    yield check, record
    for name in ("check", "record"):
        sys.modules.pop(name)


def test_a_record_says_what_was_measured_where_and_how_to_do_it_again(programs, tmp_path, monkeypatch, capsys):
    _, record = programs
    monkeypatch.setattr(sys, "argv", ["somewhere/crops.py", "--folder", "data", "--repeats", "3", "--out", "crops.md"])
    record.record(tmp_path / "new" / "crops.md", "# Crops\n", ratios={"a / b": 1.23456}, numbers=[{"name": "a"}])
    assert (tmp_path / "new" / "crops.md").read_text() == "# Crops\n"
    assert "# Crops" in capsys.readouterr().out
    told = json.loads((tmp_path / "new" / "crops.json").read_text())
    assert told["command"] == "python benchmarks/crops.py --repeats 3"
    assert told["ratios"] == {"a / b": 1.2346}
    assert told["numbers"] == [{"name": "a"}]
    assert told["machine"]["cores"] >= 1
    assert "numpy" in told["versions"]


def test_a_ratio_that_fell_by_more_than_is_tolerated_is_slower(programs, tmp_path):
    check, _ = programs
    then, now = tmp_path / "then.json", tmp_path / "now.json"
    then.write_text(json.dumps({"ratios": {"fell": 2.0, "held": 2.0, "rose": 2.0, "gone": 1.0}}))
    now.write_text(json.dumps({"ratios": {"fell": 1.69, "held": 1.71, "rose": 3.0, "new": 1.0}}))
    verdicts = {verdict.name: verdict for verdict in check.compare(then, now, 0.15)}
    assert {name: verdict.slower for name, verdict in verdicts.items()} == {"fell": True, "held": False, "rose": False}
    assert str(verdicts["fell"]).endswith("SLOWER")
    assert str(verdicts["rose"]).endswith("faster")


def test_nothing_in_common_is_no_pass(programs, tmp_path):
    check, _ = programs
    for name in ("then", "now"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"ratios": {name: 1.0}}))
    with pytest.raises(ValueError, match=r"then\.json .* no ratio in common"):
        check.compare(tmp_path / "then.json", tmp_path / "now.json", 0.1)


def test_every_benchmark_that_is_checked_takes_what_it_is_given(programs):
    check, _ = programs
    for name, arguments in check.SHORT.items():
        program = (BENCHMARKS / f"{name}.py").read_text()
        assert '"--out"' in program
        assert all(f'"{each}"' in program for each in arguments if each.startswith("--"))
