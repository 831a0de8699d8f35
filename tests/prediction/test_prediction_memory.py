"""Memory: predicting 20 x 16,384 x 16,384 voxels takes under 1.5 GB beyond what the process had at its start."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHILD = '''
import json, sys
from pathlib import Path
import numpy as np
from volumen.allocator import tune_allocator
from volumen.events import result
from volumen.prediction.averaging import Mirrored
from volumen.prediction.plan import TilePlan
from volumen.prediction.tiles import predict_tiles
from volumen.sources.pyramids.probability_map import create_map
from volumen.windows import Window

tune_allocator()  # as the command line does: memory that is freed is not given back, so this is the hard case
_, folder, side, tile, tiling = sys.argv
side = int(side)
volume = (20, side, side)
plan = TilePlan(volume=volume, region=Window.whole(volume), tile=int(tile), overlap=64, tiling=tiling)
output = create_map(Path(folder) / "map.zarr", shape=(side, side), settings={})


def memory(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024


def rows(window):
    """A grey level that grows with y and x, so that every block of the map can be checked."""
    y, x = np.arange(*window.y)[:, None], np.arange(*window.x)
    return ((y // 7 + x // 3) % 256).astype(np.uint8)


def read(window):
    return np.repeat(rows(window)[None], window.shape[0], axis=0)


start = memory("VmRSS")
model = Mirrored(lambda voxels: voxels[:, 10] / np.float32(255))
numbers = result(predict_tiles(model, read, plan=plan, output=output))
added = memory("VmHWM") - start
wrong = sum(int((output.read(block) != rows(block)).sum()) for block in output.blocks(output.window))
print(json.dumps({"added": added, "wrong": wrong, "rate": numbers["pixels_per_second"]}))
'''


def predict(folder: Path, side: int, tile: int, tiling: str) -> dict[str, float]:
    command = [sys.executable, "-c", CHILD, str(folder), str(side), str(tile), tiling]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    numbers: dict[str, float] = json.loads(done.stdout)
    return numbers


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("tile", "tiling"), [(512, "blend"), (512, "halo"), (1024, "blend")])
def test_memory_is_bounded(tmp_path: Path, tile: int, tiling: str) -> None:
    numbers = predict(tmp_path, 16_384, tile, tiling)
    assert numbers["wrong"] == 0
    assert numbers["added"] < 1.5e9


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_bounded_by_bands_also_on_a_smaller_map(tmp_path: Path) -> None:
    numbers = predict(tmp_path, 4096, 512, "blend")
    assert numbers["wrong"] == 0
    assert numbers["added"] < 0.25e9  # the voxels alone are 335 MB
