from pathlib import Path

import pytest

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.training.stages import depth


def test_settings_of_depth_data_reach_the_training(monkeypatch, tmp_path, capsys):
    given = []
    monkeypatch.setattr(
        depth, "train", lambda data, out, settings, **_: given.append(settings) or Path("weights")
    )
    options = [
        "--spectrum",
        "visible",
        "--steps",
        "9",
        "--small-steps",
        "4",
        "--samples",
        "30",
        "--per-world",
        "3",
    ]
    assert main(["train", "depth", "--data", str(tmp_path), *options]) == 0
    settings = given[0]
    assert (settings.steps, settings.small_steps, settings.samples, settings.per_world) == (9, 4, 30, 3)
    assert settings.batch == depth.DEFAULTS["visible"].batch
    assert capsys.readouterr().out.strip() == "weights"


@pytest.mark.parametrize("option", ["--per-world", "--small-steps"])
def test_a_setting_of_another_stage_is_refused_by_its_name(option, tmp_path, capsys):
    assert main(["train", "fusion", "--data", str(tmp_path), option, "3"]) == 2
    assert option in capsys.readouterr().err
