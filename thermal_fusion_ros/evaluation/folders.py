"""Which pictures of several folders belong together: those of the same name, whatever their file type."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thermal_fusion_ros.bags.pictures import SUFFIXES
from thermal_fusion_ros.errors import InputError

DEPTH_SUFFIX = "_depth"  # `fuse --depth` writes NAME_depth.png and NAME_depth.npy beside NAME.png ...
DEPTHS_FILE = "depth.json"  # ... and says here which of them are metres


@dataclass(frozen=True)
class Skipped:
    """A picture that is not scored, and the reason in one line."""

    name: str
    why: str


@dataclass(frozen=True)
class Matches:
    """`complete[name][role]` is a path; everything else is in `skipped`."""

    complete: dict[str, dict[str, Path]]
    skipped: list[Skipped]


def match(folders: Mapping[str, Path]) -> Matches:
    """Match pictures by name (file name without suffix) over folders by role: visible, thermal, fused, ...

    Raises :class:`InputError` when a folder does not exist or holds no picture. A name that is missing in one of
    the folders, or stands for two files of one folder, is reported as skipped.
    """
    listings = {role: list_pictures(role, folder) for role, folder in folders.items()}
    names = sorted(set().union(*listings.values()))
    complete: dict[str, dict[str, Path]] = {}
    skipped = []
    for name in names:
        found = {role: listing[name] for role, listing in listings.items() if name in listing}
        twice = [(role, paths) for role, paths in found.items() if len(paths) > 1]
        absent = [role for role in folders if role not in found]
        if twice:
            role, paths = twice[0]
            skipped.append(Skipped(name, f"{role} has it twice: {' and '.join(path.name for path in paths)}"))
        elif absent:
            if _is_depth_picture(name, found, listings):
                continue
            places = " and ".join(f"{role} ({folders[role]})" for role in absent)
            skipped.append(Skipped(name, f"no picture of this name in {places}"))
        else:
            complete[name] = {role: paths[0] for role, paths in found.items()}
    return Matches(complete, skipped)


def list_pictures(role: str, folder: Path) -> dict[str, list[Path]]:
    """Picture files of a folder by name. Raises :class:`InputError` when there are none."""
    if not folder.is_dir():
        raise InputError(f"{role}: no folder {folder}")
    listing: dict[str, list[Path]] = defaultdict(list)
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{role}: {folder}: {error.strerror or error}") from error
    for path in paths:
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            listing[path.stem].append(path)
    if not listing:
        raise InputError(f"{role}: no pictures in {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return dict(listing)


def list_depths(folder: Path) -> dict[str, tuple[Path, bool]]:
    """Depth arrays of a folder by the name of their picture, and whether they are known to be metres."""
    try:
        metric = json.loads((folder / DEPTHS_FILE).read_text(encoding="utf-8"))["metres"]
    except (OSError, ValueError, KeyError, TypeError):
        metric = {}
    names = {
        path.stem.removesuffix(DEPTH_SUFFIX): path for path in sorted(folder.glob(f"*{DEPTH_SUFFIX}.npy"))
    }
    return {name: (path, metric.get(name) is True) for name, path in names.items()}


def _is_depth_picture(
    name: str, found: Mapping[str, list[Path]], listings: Mapping[str, Mapping[str, list[Path]]]
) -> bool:
    """Whether the name is only the coloured depth that lies beside a fused picture."""
    base = name.removesuffix(DEPTH_SUFFIX)
    return (
        base != name
        and "visible" not in found
        and "thermal" not in found
        and all(base in listings[role] for role in found)
    )
