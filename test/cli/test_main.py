"""The command line: every command is found, and ends the way scripts rely on."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import thermal_fusion_ros
from thermal_fusion_ros.cli import main as cli
from thermal_fusion_ros.errors import InputError


def with_command(monkeypatch: pytest.MonkeyPatch, run) -> None:
    command = types.SimpleNamespace(HELP="a test", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(cli, "discover", lambda: {"try": command})


def fail(error: BaseException):
    def run(args) -> int:
        raise error

    return run


def test_every_file_is_a_command_or_a_helper() -> None:
    folder = Path(cli.__file__).parent
    names = {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")} - {"main"}
    assert set(cli.discover()) == names


@pytest.mark.parametrize("name", sorted(cli.discover()))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert cli.discover()[name].HELP.split()[0] in capsys.readouterr().out


def test_listing_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys; from thermal_fusion_ros.cli.main import build_parser; build_parser();"
        "print([m for m in ('torch', 'open3d', 'rclpy', 'openvino', 'scipy') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_exit_code_of_the_command_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, lambda args: 7)
    assert cli.main(["try"]) == 7


def test_bad_input_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_command(monkeypatch, fail(InputError("clip.mp4: truncated\nafter 3 frames")))
    assert cli.main(["try"]) == 2
    assert capsys.readouterr().err == "thermal-fusion: clip.mp4: truncated after 3 frames\n"


def test_interrupt_is_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, fail(KeyboardInterrupt()))
    assert cli.main(["try"]) == 130


def test_an_interrupt_while_commands_are_looked_for_is_code_130_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "discover", lambda: fail(KeyboardInterrupt())(None))
    assert cli.main(["try"]) == 130


def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, fail(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["try"])


def test_unknown_command_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["no-such-command"])
    assert end.value.code == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert thermal_fusion_ros.__version__ in capsys.readouterr().out


def last_words(stdout: int, *arguments: str, unbuffered: str) -> tuple[int, str]:
    """Exit code and stderr of a process that can't write to `stdout`."""
    command = [sys.executable, "-m", "thermal_fusion_ros.cli.main", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env=environment, text=True, check=False
    )
    os.close(stdout)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("--help",), ("engine", "list")])
def test_a_reader_that_has_enough_is_no_error(arguments: tuple[str, ...], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert last_words(writing, *arguments, unbuffered=unbuffered) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_finds_no_room_is_one_line_and_code_2(unbuffered: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    line = "thermal-fusion: No space left on device; make room, or write elsewhere\n"
    assert last_words(full, "engine", "list", unbuffered=unbuffered) == (2, line)
