"""Built engines on disk, under a key made of everything that can change them.

Entries are folders, written beside their place and renamed into it, so a killed build leaves nothing that could be
mistaken for an engine. A cache that cannot be read or written only costs time: one line says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from thermal_fusion_ros import models
from thermal_fusion_ros.models.graph import PerceptionGraph

log = logging.getLogger(__name__)

MARK = "complete"  # written last: holds the digest of the other files
FACTS = "facts.json"  # what the key was made of, for people and for the line that says why an engine is built anew
PARTIAL = ".partial-"
ABANDONED_S = 24 * 3600.0  # a build takes minutes: one this old was killed
_unwritable: set[Path] = set()  # said already
SAME_ENGINE = ("graph", "size", "precision")  # the other facts are circumstances, and make an entry stale


def default_root() -> Path:
    """``$XDG_CACHE_HOME/thermal_fusion_ros/engines``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "thermal_fusion_ros" / "engines"


def graph_digest(graph: PerceptionGraph) -> str:
    """Hash of the weights and of the code that runs them."""
    digest = hashlib.sha256()
    for source in sorted(Path(models.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for name, tensor in graph.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Key:
    """What an entry was made for and of. `name` is its folder."""

    backend: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Different for any two keys that differ."""
        text = json.dumps([self.backend, self.facts], sort_keys=True)
        return f"{self.backend}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


@dataclass(frozen=True)
class Entry:
    """One folder of the cache."""

    folder: Path
    key: Key

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())


class EngineCache:
    """Folders of files by key."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def key(self, graph: PerceptionGraph, backend: str, **facts: object) -> Key:
        """Key of `graph` on `backend`; `facts` are size, precision, versions, names of devices."""
        everything = {"graph": graph_digest(graph), "torch": torch.__version__} | facts
        return Key(backend, {name: str(value) for name, value in everything.items()})

    def load(self, key: Key, *, explain: bool = True) -> Path | None:
        """Folder of a complete, undamaged entry; None if there is none.

        A line says why when it is damaged and, with `explain`, when one of other versions is there.
        """
        folder = self.root / key.name
        try:
            if (folder / MARK).read_text() == _digest(folder):
                return folder
            log.warning("engine cache: %s is damaged, building anew", folder)
        except (FileNotFoundError, NotADirectoryError):
            if explain:
                self._explain(key)
        except OSError as error:
            log.warning("engine cache: %s cannot be read (%s), building anew", folder, error)
        return None

    def store(self, key: Key, write: Callable[[Path], object]) -> None:
        """Have `write` fill a folder and put it in place in one step; a failure is logged, never raised."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            partial = Path(tempfile.mkdtemp(dir=self.root, prefix=PARTIAL))
        except OSError as error:
            if self.root not in _unwritable:
                _unwritable.add(self.root)
                log.warning(
                    "engine cache: %s cannot be written (%s); engines are built at every start",
                    self.root, error.strerror,
                )  # fmt: skip
            return
        try:
            write(partial)
            (partial / FACTS).write_text(json.dumps({"backend": key.backend} | key.facts, indent=2))
            (partial / MARK).write_text(_digest(partial))
            shutil.rmtree(self.root / key.name, ignore_errors=True)
            partial.replace(self.root / key.name)
        except Exception as error:  # an engine that cannot be saved still runs
            log.warning("engine cache: %s was not stored (%s)", key.name, str(error).partition("\n")[0])
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def entries(self) -> Iterator[Entry]:
        """All entries that say what they are."""
        for path in sorted(self.root.glob(f"*/{FACTS}")):
            try:
                facts = json.loads(path.read_text())
                yield Entry(path.parent, Key(facts.pop("backend"), facts))
            except (OSError, ValueError, KeyError, AttributeError):
                continue  # damaged: `load` says so when somebody wants it

    def clear(self) -> None:
        """Remove everything. OSError when that is not allowed."""
        if self.root.is_dir():
            shutil.rmtree(self.root)

    def _explain(self, key: Key) -> None:
        """Say what has changed since the same engine was built, if it was."""
        for entry in self.entries():
            theirs = entry.key.facts
            if entry.key.backend == key.backend and all(
                theirs.get(fact) == key.facts.get(fact) for fact in SAME_ENGINE
            ):
                changed = [
                    f"{fact} {theirs.get(fact)} (now {value})"
                    for fact, value in key.facts.items()
                    if theirs.get(fact) != value
                ]
                log.warning(
                    "engine cache: the %s engine is of %s, building anew", key.backend, ", ".join(changed)
                )
                return

    def _sweep(self) -> None:
        """Remove what killed builds have left."""
        for path in self.root.glob(f"{PARTIAL}*"):
            with suppress(OSError):  # somebody else sweeps too
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(path)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != MARK:
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
