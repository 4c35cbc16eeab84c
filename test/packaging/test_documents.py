"""What the documents name exists: pages and headings they link to, tables, commands with their options, parameters."""

import argparse
import re
import shlex

import pytest

from benchmark.markdown import calls
from benchmark.tables import TABLES, documents
from thermal_fusion_ros.cli.main import build_parser
from thermal_fusion_ros.config import parameters

DOCUMENTS = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
PARSER = build_parser()
NAMES = {parameter.name for parameter in parameters()}
SECTIONS = "|".join(sorted({name.partition(".")[0] for name in NAMES}))


def spans(text: str) -> list[str]:
    """Everything set as code, in line or as lines of a block."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.S | re.M)
    rest = re.sub(r"^```\n.*?^```", "", text, flags=re.S | re.M)
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
