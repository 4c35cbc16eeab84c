import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.cache import MARK, EngineCache, graph_digest
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.graph import PerceptionGraph


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    return PerceptionGraph(CrossAttentionFusion()).eval()


def write(folder):
    (folder / "engine").write_bytes(b"engine")


def test_what_is_stored_is_found(cache):
    assert cache.load("k") is None
    cache.store("k", write)
    assert (cache.load("k") / "engine").read_bytes() == b"engine"
    assert [path.name for path in cache.root.iterdir()] == ["k"]


def test_a_build_killed_half_way_leaves_no_entry(cache):
    def killed(folder):
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.store("k", killed)
    assert cache.load("k") is None
    assert not list(cache.root.iterdir())


@pytest.mark.parametrize("damage", ["truncate", "unmark", "extra"])
def test_a_damaged_entry_is_not_used_and_can_be_replaced(cache, damage, caplog):
    cache.store("k", write)
    folder = cache.root / "k"
    if damage == "truncate":
        (folder / "engine").write_bytes(b"eng")
    elif damage == "unmark":
        (folder / MARK).unlink()
    else:
        (folder / "more").write_bytes(b"")
    assert cache.load("k") is None
    assert ("damaged" in caplog.text) == (damage != "unmark")
    cache.store("k", write)
    assert cache.load("k") is not None


def test_an_unwritable_cache_costs_one_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = EngineCache(tmp_path / "file" / "engines")
    cache.store("k", write)
    assert cache.load("k") is None
    assert "cannot be written" in caplog.text


def test_key_follows_everything_that_changes_an_engine(cache, graph):
    torch.manual_seed(1)
    other = PerceptionGraph(CrossAttentionFusion()).eval()
    assert graph_digest(graph) != graph_digest(other)
    keys = {
        cache.key(graph, "openvino", 480, 640),
        cache.key(other, "openvino", 480, 640),
        cache.key(graph, "torch", 480, 640),
        cache.key(graph, "openvino", 640, 480),
    }
    assert len(keys) == 4
    assert cache.key(graph, "openvino", 480, 640) in keys


def test_openvino_reads_what_it_wrote(cache, graph, monkeypatch):
    pytest.importorskip("openvino")
    from thermal_fusion_ros.engine.openvino_backend import OpenVinoEngine

    OpenVinoEngine(graph, 64, 96, EngineConfig(), cache)

    def no_export(*_args):
        raise AssertionError("exported again")

    monkeypatch.setattr(torch.export, "export", no_export)
    assert OpenVinoEngine(graph, 64, 96, EngineConfig(), cache).name.startswith("openvino")
