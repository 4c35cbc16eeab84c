"""The rule that keeps continuous integration from passing by skipping."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent / "conftest.py"
TESTS = """
def test_wants_data(shared_data):
    assert (shared_data / "manifest.json").is_file()

def test_wants_more_than_there_is(shared_data):
    import pytest
    pytest.skip("no such clip")
"""


def run_tests(folder: Path, data: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(TESTS)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env |= {"TFR_DATA": str(data), "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("ci", ["true", ""])
def test_absent_data_skips(tmp_path: Path, ci: str) -> None:
    done = run_tests(tmp_path, tmp_path / "nowhere", ci)
    assert done.returncode == 0
    assert "2 skipped" in done.stdout


@pytest.mark.parametrize(("ci", "failed"), [("true", 1), ("", 0)])
def test_skipping_beside_the_data_fails_in_ci_only(tmp_path: Path, ci: str, failed: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "manifest.json").write_text("{}")
    done = run_tests(tmp_path, data, ci)
    assert done.returncode == failed
    assert "1 passed" in done.stdout


def test_a_data_folder_without_its_manifest_fails_in_ci(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert run_tests(tmp_path, data, "true").returncode == 1
