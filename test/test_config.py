from pathlib import Path

import pytest
import yaml

from thermal_fusion_ros import config as module
from thermal_fusion_ros.config import Config, load_yaml, parameters
from thermal_fusion_ros.config_documents import to_yaml, with_table
from thermal_fusion_ros.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


def test_every_default_satisfies_its_own_limits():
    for parameter in parameters():
        assert parameter.check(parameter.default) == parameter.default
        assert parameter.spec.help.endswith("."), f"{parameter.name} has no sentence of help"


def test_values_are_checked_all_or_nothing():
    before = Config()
    with pytest.raises(InputError, match=r"sync.tolerance_s: 5.0 is outside"):
        before.with_values({"output.jpeg_quality": 50, "sync.tolerance_s": 5.0})
    after = before.with_values({"sync.tolerance_s": 0, "output.jpeg_quality": 50})
    assert after.sync.tolerance_s == 0.0
    assert isinstance(after.sync.tolerance_s, float)
    assert after.output.jpeg_quality == 50
    assert before == Config()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sync.tolerence_s", 0.1, "did you mean sync.tolerance_s"),
        ("sync.tolerance_s", "0.1", "is not a float"),
        ("sync.tolerance_s", float("nan"), "is not finite"),
        ("output.jpeg_quality", True, "is not a int"),
        ("engine.backend", "magic", "is not one of"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(name, value, message):
    with pytest.raises(InputError, match=message):
        Config().with_values({name: value})


def test_assignments_as_typed():
    config = Config().with_assignments(
        ["output.compressed=off", "fusion.prompt=two dogs", "engine.threads=2"]
    )
    assert (config.output.compressed, config.fusion.prompt, config.engine.threads) == (False, "two dogs", 2)
    with pytest.raises(InputError, match="NAME=VALUE"):
        Config().with_assignments(["output.compressed"])
    with pytest.raises(InputError, match="not true or false"):
        Config().with_assignments(["output.compressed=maybe"])


def test_a_nodes_own_parameter_file_is_read_with_what_every_ros_node_has(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text(
        "fusion_node:\n  ros__parameters:\n    use_sim_time: true\n    fusion: {model: small}\n"
        "    qos_overrides: {/rgb/image_raw: {subscription: {reliability: reliable}}}\n"
    )
    assert load_yaml(path) == Config().with_values({"fusion.model": "small"})
    path.write_bytes(b"caf\xe9: 1\n")
    with pytest.raises(InputError, match="not a readable parameter file"):
        load_yaml(path)


def test_yaml_round_trip(tmp_path):
    path = tmp_path / "fusion.yaml"
    path.write_text(to_yaml())
    assert load_yaml(path) == Config()
    path.write_text(
        "fusion_node:\n  ros__parameters:\n    sync: {tolerance_s: 0.02}\n    fusion.prompt: person\n"
    )
    config = load_yaml(path)
    assert (config.sync.tolerance_s, config.fusion.prompt) == (0.02, "person")
    for broken, message in (
        ("[1]", "not a ROS parameter file"),
        ("a: 1", "no `ros__parameters`"),
        ("a: [", "readable"),
    ):
        path.write_text(broken)
        with pytest.raises(InputError, match=message):
            load_yaml(path)


def test_generated_files_are_current():
    """`python -m thermal_fusion_ros.config_documents` rewrites them."""
    assert (ROOT / "config" / "fusion.yaml").read_text() == to_yaml()
    readme = (ROOT / "README.md").read_text()
    assert readme == with_table(readme)
    assert set(module.Config().flat()) == set(_leaves(yaml.safe_load(to_yaml())["/**"]["ros__parameters"]))


def _leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
