"""Tables as Markdown, and the marked places of a document where they belong.

A document marks a place with `<!-- table NAME ARGUMENT... -->` and `<!-- /table -->`; what stands between is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from thermal_fusion_ros.evaluation.ranking import markdown_table

table = markdown_table
BLOCK = re.compile(r"(<!-- table (?P<call>[^>]+?) -->\n)(?P<body>.*?)(?P<end><!-- /table -->)", re.DOTALL)


def calls(document: str) -> list[tuple[str, ...]]:
    """Name and arguments of every marked place, in order."""
    return [tuple(match["call"].split()) for match in BLOCK.finditer(document)]


def fill(document: str, make: Callable[[tuple[str, ...]], str | None]) -> str:
    """The document with every marked place filled by `make(call)`; None leaves a place as it is."""

    def replacement(match: re.Match[str]) -> str:
        made = make(tuple(match["call"].split()))
        return match[0] if made is None else f"{match[1]}\n{made}\n\n{match['end']}"

    return BLOCK.sub(replacement, document)
