import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import cache as module
from thermal_fusion_ros.engine.cache import MARK, EngineCache, Key, graph_digest
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.graph import PerceptionGraph

KEY = Key("toaster", {"graph": "g", "size": "96x64", "driver": "1"})


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    return PerceptionGraph(CrossAttentionFusion()).eval()


def write(folder):
    (folder / "engine").write_bytes(b"engine")


def test_what_is_stored_is_found(cache, caplog):
    assert cache.load(KEY) is None
    cache.store(KEY, write)
    assert (cache.load(KEY) / "engine").read_bytes() == b"engine"
    assert [path.name for path in cache.root.iterdir()] == [KEY.name]
    (entry,) = cache.entries()
    assert entry.key == KEY
    assert entry.size > len(b"engine")
    assert not caplog.text
    cache.clear()
    assert not list(cache.entries())


def test_a_build_interrupted_half_way_leaves_no_entry(cache):
    def interrupted(folder):
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.store(KEY, interrupted)
    assert cache.load(KEY) is None
    assert not list(cache.root.iterdir())


def test_a_build_killed_half_way_leaves_no_entry_and_is_swept_up(cache, monkeypatch):
    """SIGKILL: nothing of ours runs any more."""
    program = f"""
import os, signal
from pathlib import Path
from thermal_fusion_ros.engine.cache import EngineCache, Key
def killed(folder):
    (folder / "engine").write_bytes(b"eng")
    os.kill(os.getpid(), signal.SIGKILL)
EngineCache(Path({str(cache.root)!r})).store(Key({KEY.backend!r}, {KEY.facts!r}), killed)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list(cache.root.iterdir())) == 1
    assert cache.load(KEY) is None
    later = time.time() + module.ABANDONED_S + 60
    monkeypatch.setattr(module.time, "time", lambda: later)
    cache.store(KEY, write)
    assert [path.name for path in cache.root.iterdir()] == [KEY.name]


@pytest.mark.parametrize("damage", ["truncate", "unmark", "extra"])
def test_a_damaged_entry_is_not_used_and_can_be_replaced(cache, damage, caplog):
    cache.store(KEY, write)
    folder = cache.root / KEY.name
    if damage == "truncate":
        (folder / "engine").write_bytes(b"eng")
    elif damage == "unmark":
        (folder / MARK).unlink()
    else:
        (folder / "more").write_bytes(b"")
    assert cache.load(KEY) is None
    assert ("damaged" in caplog.text) == (damage != "unmark")
    cache.store(KEY, write)
    assert cache.load(KEY) is not None


def test_an_entry_of_another_version_is_not_used_and_one_line_says_so(cache, caplog):
    cache.store(KEY, write)
    assert cache.load(Key(KEY.backend, KEY.facts | {"driver": "2"})) is None
    assert [record.getMessage() for record in caplog.records] == [
        "engine cache: the toaster engine is of driver 1 (now 2), building anew"
    ]
    caplog.clear()
    for other in (Key("kettle", KEY.facts), Key(KEY.backend, KEY.facts | {"size": "64x64", "driver": "2"})):
        assert cache.load(other) is None
    assert not caplog.text


def test_an_unwritable_cache_costs_one_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    cache.store(KEY, write)
    assert cache.load(KEY) is None
    assert "cannot be written" in caplog.text


def test_an_engine_that_cannot_be_saved_costs_one_line(cache, caplog):
    def broken(_folder):
        raise RuntimeError("cannot be pickled\nlong trace")

    cache.store(KEY, broken)
    assert cache.load(KEY) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"engine cache: {KEY.name} was not stored (cannot be pickled)"
    ]


def test_key_follows_everything_that_changes_an_engine(cache, graph, monkeypatch):
    torch.manual_seed(1)
    other = PerceptionGraph(CrossAttentionFusion()).eval()
    assert graph_digest(graph) != graph_digest(other)
    keys = [
        cache.key(graph, "openvino", size="640x480"),
        cache.key(other, "openvino", size="640x480"),
        cache.key(graph, "torch", size="640x480"),
        cache.key(graph, "openvino", size="480x640"),
        cache.key(graph, "openvino", size="640x480", openvino="1"),
    ]
    assert cache.key(graph, "openvino", size="640x480") in keys
    monkeypatch.setattr(torch, "__version__", "99")
    keys.append(cache.key(graph, "openvino", size="640x480"))
    assert len({key.name for key in keys}) == 6


def test_openvino_reads_what_it_wrote(cache, graph, monkeypatch):
    pytest.importorskip("openvino")
    from thermal_fusion_ros.engine.openvino_backend import OpenVinoEngine

    OpenVinoEngine(graph, 64, 96, EngineConfig(), cache)

    def no_export(*_args):
        raise AssertionError("exported again")

    monkeypatch.setattr(torch.export, "export", no_export)
    assert OpenVinoEngine(graph, 64, 96, EngineConfig(), cache).name.startswith("openvino")
