"""Built engines on disk, under a key made of everything that can change them.

Entries are folders, written beside their place and renamed into it, so a killed build leaves nothing that could be
mistaken for an engine. A cache that cannot be read or written only costs time: one line says so.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from thermal_fusion_ros import models
from thermal_fusion_ros.models.graph import PerceptionGraph

log = logging.getLogger(__name__)

MARK = "complete"  # written last: holds the digest of the other files


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


class EngineCache:
    """Folders of files by key."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def key(self, graph: PerceptionGraph, backend: str, *facts: object) -> str:
        """Name of the entry for `graph` on `backend`; `facts` are shapes, precision, versions, device names."""
        text = "\n".join(str(fact) for fact in (graph_digest(graph), torch.__version__, *facts))
        return f"{backend}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def load(self, key: str) -> Path | None:
        """Folder of a complete, undamaged entry; None where there is none."""
        folder = self.root / key
        try:
            if (folder / MARK).read_text() == _digest(folder):
                return folder
            log.warning("engine cache: %s is damaged, building anew", folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("engine cache: %s cannot be read (%s), building anew", folder, error)
        return None

    def store(self, key: str, write: Callable[[Path], None]) -> None:
        """Have `write` fill a folder and put it in place in one step; a failure is logged, never raised."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=self.root, prefix=".partial-"))
        except OSError as error:
            log.warning(
                "engine cache: %s cannot be written (%s); engines are built at every start", self.root, error
            )
            return
        try:
            write(partial)
            (partial / MARK).write_text(_digest(partial))
            shutil.rmtree(self.root / key, ignore_errors=True)
            partial.replace(self.root / key)
        except OSError as error:
            log.warning("engine cache: %s was not stored (%s)", key, error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != MARK:
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
