"""Processes that work for one which may end at any time."""

from __future__ import annotations

import subprocess
import sys

KILLED = """
import os, time
from thermal_fusion_ros.worker_pool import WorkerPool

with WorkerPool(2, int) as pool:
    idle = [pool.submit(time.sleep, 0.5) for _ in range(2)]
    print(*(task.result() for task in idle), flush=True)
    busy = pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_with_the_process_that_they_work_for_even_if_it_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"None None\n"
        process.kill()
        process.communicate(timeout=60)  # until the last who holds its standard output has ended
