"""The allocator: tuned, a process keeps its memory; it is never tuned by importing."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from volumen.allocator import tune_allocator
if sys.argv[1] == "tuned":
    assert tune_allocator()
b"x" * 40_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in range(40_000_000, 40_000_020):
    b"x" * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_blocks_cost_page_faults_only_where_it_is_not_tuned() -> None:
    def faults(how: str) -> int:
        child = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(child, check=True, capture_output=True, text=True).stdout)

    assert 4 * faults("tuned") < faults("plain")
