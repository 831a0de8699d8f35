"""Prediction by many processes: the same bytes, each tile computed once, kills and stops, errors that arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_work
import pytest
from cluster_work import COUNTED, Mortal, Work, die, fresh, plan, process_id

from volumen import cluster as sharing
from volumen.cluster import Cluster, open_cluster
from volumen.errors import CheckpointError, ClusterError, MissingExtraError, VolumenError
from volumen.events import Finished, Started, Stepped, TileWritten, result
from volumen.prediction.cluster import cut_parts, predict_on_cluster
from volumen.prediction.sums import Sums
from volumen.prediction.tiles import predict_tiles
from volumen.sources.pyramids.probability_map import open_map
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

distributed = pytest.importorskip("distributed")

SCRIPT = Path(cluster_work.__file__)


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def alone(path: Path, **changes: Any) -> dict[Path, bytes]:
    """Predict in one process."""
    batch = changes.pop("batch", 1)
    chosen, opened = plan(**changes), Work()()
    output = fresh(path, chosen, resume=True)
    result(predict_tiles(opened.model, opened.read, plan=chosen, output=output, cell=opened.cell, batch=batch))
    return files(path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two workers in threads of this process, reached over the loopback as if they were far."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=":0"
        ) as local,
        open_cluster(local.scheduler_address, None) as connected,
    ):
        assert connected is not None
        assert list(connected.arrive()) == []
        yield connected


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch": 3},
        {"tiling": "halo", "overlap": 16},
        {"region": Window((0, 3), (70, 500), (33, 900)), "batch": 2},
        {"tile": 640},
    ],
    ids=["blend", "batches", "halo", "region", "large"],
)
def test_workers_write_the_same_bytes(cluster: Cluster, tmp_path: Path, changes: dict[str, Any]) -> None:
    wanted = alone(tmp_path / "alone" / "map.zarr", **changes)
    batch = changes.pop("batch", 1)
    chosen = plan(**changes)
    COUNTED.clear()
    output = fresh(tmp_path / "shared" / "map.zarr", chosen)
    events = list(predict_on_cluster(cluster, Work(), plan=chosen, output=output, batch=batch, near=(400, 200)))
    assert files(tmp_path / "shared" / "map.zarr") == wanted
    assert sum(COUNTED) == len(chosen.tiles)  # nothing is computed twice
    first, *middle, last = events
    assert isinstance(first, Started)
    assert isinstance(last, Finished)
    boxes = [event.box for event in middle if isinstance(event, TileWritten)]
    assert sorted(boxes) == sorted(block.box for block in output.blocks(chosen.region))
    assert [event.done for event in middle if isinstance(event, Stepped)][-1] == len(chosen.tiles)


@pytest.mark.parametrize(("workers", "most"), [(1, 4), (1000, 1)])
def test_parts_own_every_block_once_and_share_only_borders(tmp_path: Path, workers: int, most: int) -> None:
    chosen = plan(overlap=16)
    output = fresh(tmp_path / "map.zarr", chosen)
    parts = cut_parts(Sums(chosen, chosen.tiles, output), [(tile,) for tile in chosen.tiles], workers)
    assert max(len(part.tiles) for part in parts) == most
    assert sorted(tile.window for part in parts for tile in part.tiles) == sorted(tile.window for tile in chosen.tiles)
    owned = [block for part in parts for block in part.own]
    shared = {block for part in parts for block in part.shared}
    assert len(owned) == len(set(owned))
    assert not shared & set(owned)
    assert shared | set(owned) == set(output.blocks(output.window))
    for part in parts:
        for block in part.own:  # no tile of another part touches it
            assert all(tile in part.tiles for tile in chosen.tiles if tile.keep.layers(0, 1).overlaps(block))


@pytest.mark.parametrize("begun_by_workers", [True, False])
def test_what_was_begun_one_way_goes_on_the_other(cluster: Cluster, tmp_path: Path, begun_by_workers: bool) -> None:
    wanted, path, chosen, opened = alone(tmp_path / "alone" / "map.zarr"), tmp_path / "map.zarr", plan(), Work()()

    def events(by_workers: bool) -> Any:
        output = fresh(path, chosen, resume=True)
        if by_workers:
            return predict_on_cluster(cluster, Work(), plan=chosen, output=output)
        return predict_tiles(opened.model, opened.read, plan=chosen, output=output, cell=opened.cell)

    with closing(events(begun_by_workers)) as begun:
        for event in begun:
            if isinstance(event, Stepped) and event.done > 150:
                break
    done = len(open_map(path).done())
    assert 0 < done < len(list(open_map(path).blocks(Window.whole(cluster_work.SHAPE))))
    COUNTED.clear()
    result(events(not begun_by_workers))
    assert files(path) == wanted
    assert sum(COUNTED) < len(chosen.tiles)  # it went on


def test_the_error_of_a_worker_is_raised_here(cluster: Cluster, tmp_path: Path) -> None:
    output = fresh(tmp_path / "map.zarr", plan())
    with pytest.raises(CheckpointError, match="probabilities in \\[0, 1\\]"):
        list(predict_on_cluster(cluster, Work(wrong=True), plan=plan(), output=output))


def test_a_map_that_was_replaced_meanwhile_is_not_written_to(cluster: Cluster, tmp_path: Path) -> None:
    path, chosen = tmp_path / "map.zarr", plan()
    events = predict_on_cluster(cluster, Work(), plan=chosen, output=fresh(path, chosen))
    next(event for event in events if isinstance(event, TileWritten))
    fresh(path, plan(overlap=16), overwrite=True)
    with pytest.raises(VolumenError, match="was replaced"):
        list(events)


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volumen.cluster._CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match="No scheduler answers"), open_cluster("tcp://127.0.0.1:9", None):
        pass


def test_a_cluster_of_our_own_leaves_our_environment_as_it_was():
    before = dict(os.environ)
    with open_cluster(None, 1) as cluster:
        assert cluster.ask(os.environ.get, "OMP_NUM_THREADS") == "1", "workers have one thread each"
    assert dict(os.environ) == before


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"volumen\[distributed\]"), open_cluster(None, 2):
        pass


@contextmanager
def processes() -> Iterator[Cluster]:
    with open_cluster(None, 2) as cluster:
        assert cluster is not None
        yield cluster


def test_killed_workers_cost_no_byte(tmp_path: Path) -> None:
    wanted, path, chosen = alone(tmp_path / "alone" / "map.zarr"), tmp_path / "map.zarr", plan()
    output, kills = fresh(path, chosen), 0
    with processes() as cluster:
        for event in predict_on_cluster(cluster, Work(pause=0.01), plan=chosen, output=output):
            if isinstance(event, Stepped) and event.done > 40 * (kills + 1) and kills < 3:
                os.kill(cluster.ask(process_id, kills), signal.SIGKILL)
                kills += 1
    assert kills == 3
    assert files(path) == wanted


def test_work_that_kills_its_workers_is_named() -> None:
    with processes() as cluster, pytest.raises(ClusterError, match=r"4 workers died.*the deadly one"):
        list(cluster.spread(die, [0], name=lambda _: "the deadly one"))


def test_work_is_given_again_while_other_work_gets_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_DEATHS", 0)
    with processes() as cluster:
        made = dict(cluster.spread(Mortal(tmp_path, {2: 2}), range(6)))
    assert made == {item: -item for item in range(6)}


def test_work_that_always_kills_is_named_when_all_else_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_DEATHS", 0)
    made: list[int] = []
    with processes() as cluster, pytest.raises(ClusterError, match=r"3 workers died.*the same work: 2\."):
        made.extend(item for item, _ in cluster.spread(Mortal(tmp_path, {2: 99}), range(6)))
    assert sorted(made) == [0, 1, 3, 4, 5]


def test_a_killed_client_is_gone_on_with(tmp_path: Path) -> None:
    wanted, path = alone(tmp_path / "alone" / "map.zarr"), tmp_path / "map.zarr"
    command = [sys.executable, str(SCRIPT), str(path), "--workers", "2", "--pause", "0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(60):
        assert process.stdout.readline()
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert alone(path) == wanted
