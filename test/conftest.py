"""What every test can ask for: the recorded data, a ROS domain of its own, few threads."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TFR_DATA") or ROOT.parent / "shared" / "data")
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, 2 // WORKERS)))
# Engines built by tests stay out of the user's cache, and are there for the next run.
os.environ["XDG_CACHE_HOME"] = str(ROOT / ".pytest_cache" / "xdg")


def _own_domain() -> str:
    """A ROS domain that no other worker, and hardly any other run on this machine, uses.

    0 to 101 are the domains whose ports never meet the ports that Linux hands out by itself; 0 is everybody's.
    """
    run = int(os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():x}")[:8], 16)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return str(1 + (run * WORKERS + worker) % 101)


os.environ["ROS_DOMAIN_ID"] = _own_domain()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the recorded RGB-thermal data; the test is skipped where there is none."""
    if not (DATA / "manifest.json").is_file():
        pytest.skip(
            f"recorded data is missing: no manifest.json in {DATA} (set TFR_DATA to the folder that has it)"
        )
    return DATA


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """`with full_disk(N):` no file can grow beyond N bytes, which is as if there were no room for more of it."""

    @contextmanager
    def full(room: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where the data is, a test that wants it has no excuse: in continuous integration its skip is a failure."""
    outcome = yield
    report = outcome.get_result()
    if CI and DATA.is_dir() and report.skipped and "shared_data" in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although {DATA} is there: {report.longrepr}"
