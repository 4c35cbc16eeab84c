"""The Nav2 configuration that ships: valid, about our topic, within what the node sends."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from thermal_fusion_ros.config import Config

PATH = Path(__file__).parents[2] / "config" / "nav2_costmap.yaml"
LAYERS = {"local_costmap": "voxel_layer", "global_costmap": "obstacle_layer"}
MOST_VOXELS = 16


def parameters(text: str, costmap: str) -> dict:
    return yaml.safe_load(text)[costmap][costmap]["ros__parameters"]


@pytest.mark.parametrize(("costmap", "layer"), LAYERS.items())
def test_every_costmap_is_whole_and_reads_the_cloud_within_its_range(costmap: str, layer: str) -> None:
    given = parameters(PATH.read_text(), costmap)
    for plugin in given["plugins"]:
        assert "::" in given[plugin]["plugin"]
    assert layer in given["plugins"]
    sources = given[layer]["observation_sources"].split()
    assert sources
    for name in sources:
        source, points = given[layer][name], Config().points
        assert (source["data_type"], source["topic"]) == ("PointCloud2", "/points")
        assert source["marking"]
        assert source["clearing"]
        assert source["obstacle_min_range"] >= points.nearest_m
        assert source["obstacle_min_range"] < source["obstacle_max_range"] < source["raytrace_max_range"]
        assert source["raytrace_max_range"] <= points.farthest_m
        assert 0 < source["min_obstacle_height"] < source["max_obstacle_height"]
        assert source["max_obstacle_height"] <= given[layer]["max_obstacle_height"]
        assert 1 / points.rate_hz < source["expected_update_rate"]


def test_voxels_reach_the_highest_obstacle() -> None:
    layer = parameters(PATH.read_text(), "local_costmap")["voxel_layer"]
    assert layer["z_voxels"] <= MOST_VOXELS
    assert layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"] >= layer["max_obstacle_height"]


def test_the_other_layer_in_the_comment_is_yaml_in_its_place() -> None:
    given, _, comment = PATH.read_text().partition("and give it this:\n#\n")
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment.splitlines()]
    local, mark, rest = given.partition("\nglobal_costmap:")
    assert mark
    assert rest
    layer = parameters(local + "\n" + "\n".join(lines), "local_costmap")["stvl_layer"]
    for name in layer["observation_sources"].split():
        assert layer[name]["topic"] == "/points"
