"""What the documents name exists: pages and headings they link to, tables, commands with their options, parameters."""

import argparse
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.markdown import calls
from benchmark.tables import TABLES, documents
from thermal_fusion_ros.cli.main import build_parser
from thermal_fusion_ros.config import SimulationConfig, parameters
from thermal_fusion_ros.simulation.simulator import Simulator

DOCUMENTS = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
PARSER = build_parser()
NAMES = {parameter.name for parameter in parameters()}
SECTIONS = "|".join(sorted({name.partition(".")[0] for name in NAMES}))


def spans(text: str) -> list[str]:
    """Everything set as code, in line or as lines of a block."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


def anchors(text: str) -> set[str]:
    """The names under which headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Parsers below this one, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def wrong_with(command: str) -> str:
    """What is wrong with a command line of `thermal-fusion`; empty if nothing is."""
    parser = PARSER
    for word in shlex.split(command, comments=True)[1:]:
        below = subcommands(parser)
        if word in below:
            parser = below[word]
        elif below and not word.startswith("-"):
            return f"no sub-command {word}"
        elif word.startswith("--") and word.partition("=")[0] not in parser._option_string_actions:
            return f"no option {word}"
    return ""


@DOCUMENTS
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        page = path.parent / file if file else path
        assert page.exists(), target
        assert not heading or heading in anchors(page.read_text()), target


@DOCUMENTS
def test_tables_are_known(path):
    assert {call[0] for call in calls(path.read_text())} <= set(TABLES)


@DOCUMENTS
def test_commands_exist(path):
    commands = [span for span in spans(path.read_text()) if span.startswith("thermal-fusion ")]
    assert {command: wrong for command in commands if (wrong := wrong_with(command))} == {}


@DOCUMENTS
def test_parameters_exist(path):
    words = (re.match(rf"({SECTIONS})\.[a-z_]+(?=$|[:= ])", span) for span in spans(path.read_text()))
    assert {word.group() for word in words if word} - NAMES == set()


def test_python_runs(tmp_path, monkeypatch, capsys):
    """The page on the library, from top to bottom, on small pictures."""
    page = next(path for path in documents() if path.name == "library.md")
    size = {"width": 160, "height": 120, "thermal_width": 160, "thermal_height": 120}
    rig = Simulator(SimulationConfig(condition="day", quality="live", **size))
    rgb, heat = rig.rgb(0.0, False).frame.image, rig.thermal(0.0, False).frame.image
    monkeypatch.chdir(tmp_path)
    for picture, name in ((rgb[..., ::-1], "rgb.png"), (heat, "thermal.png")):
        cv2.imwrite(name, picture)
        folder = Path("drive", Path(name).stem)
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.png"), picture)
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M):
        exec(compile(block, page.name, "exec"), names)
    assert names["seen"].fused.shape == rgb.shape
    assert np.isfinite(names["cloud"]["z"]).any()
    assert names["report"].published == 1
    assert re.fullmatch(r"\d+ [\d.]+\n", capsys.readouterr().out)
    assert names["log_depth"].shape == (1, 1, 240, 320)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("thermal-fusion fuse --visible DIR --depth", ""),
        ("thermal-fusion fuze --visible DIR", "no sub-command fuze"),
        ("thermal-fusion engine build --sise 640x480  # comment", "no option --sise"),
        ("thermal-fusion engine build --size 640x480  # --comment", ""),
    ],
)
def test_wrong_commands_are_told(command, wrong):
    assert wrong_with(command) == wrong
