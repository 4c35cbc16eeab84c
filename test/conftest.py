"""What every test can ask for: the recorded data, one ROS domain per worker, few threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TFR_DATA") or ROOT.parent / "shared" / "data")
MISSING = "recorded data is missing"  # how such skips are told from others

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the recorded RGB-thermal data; the test is skipped where there is none."""
    if not (DATA / "manifest.json").is_file():
        pytest.skip(f"{MISSING}: no manifest.json in {DATA} (set TFR_DATA to the folder that has it)")
    return DATA
