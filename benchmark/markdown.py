"""Tables as Markdown, and the marked places of a document where they belong.

A document marks a place with `<!-- table NAME ARGUMENT... -->` and `<!-- /table -->`; what stands between is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

BLOCK = re.compile(r"(<!-- table (?P<call>[^>]+?) -->\n)(?P<body>.*?)(?P<end><!-- /table -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are right-aligned."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]])


def calls(document: str) -> list[tuple[str, ...]]:
    """Name and arguments of every marked place, in order."""
    return [tuple(match["call"].split()) for match in BLOCK.finditer(document)]


def fill(document: str, make: Callable[[tuple[str, ...]], str | None]) -> str:
    """The document with every marked place filled by `make(call)`; None leaves a place as it is."""

    def replacement(match: re.Match[str]) -> str:
        made = make(tuple(match["call"].split()))
        return match[0] if made is None else f"{match[1]}\n{made}\n\n{match['end']}"

    return BLOCK.sub(replacement, document)
