"""What `thermal-fusion reconstruct` refuses before it has seen a picture; the rest is in test/geometry."""

import pytest

pytest.importorskip("open3d", reason="reconstruction needs open3d")

import numpy as np

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig


@pytest.fixture(autouse=True)
def pipeline_with_a_rig(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "set_rig", lambda self, rig, problem=None, rgb=None: None, raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "mesh.obj"], "mesh.obj"),
        (["--every", "0"], "--every 0"),
        (["--voxel", "0"], "--voxel 0"),
        (["--voxel", "nan"], "--voxel nan"),
        (["--max-depth", "-1"], "--max-depth -1"),
        (["--rig", "nothing.yaml"], "nothing.yaml"),
        (["--camera-height", "-2"], "depth.camera_height_m"),
        (["--depth-topic", "depth"], "--depth-topic depth"),
        (["--poses", "tf", "--rig", "RIG"], "--poses tf"),
        ([], "--rig"),
    ],
)
def test_wrong_options_are_one_line_and_code_2(
    tmp_path, capsys, monkeypatch, make_folders, pipeline, options, said
):
    source = make_folders({"a": (32, 32), "b": (32, 32)})
    options = [str(rig_file(tmp_path)) if option == "RIG" else option for option in options]
    monkeypatch.setattr(pipeline, "process", with_depth(pipeline.process))
    assert main(["reconstruct", str(source), "--out", str(tmp_path / "mesh.ply"), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("mesh*"))


@pytest.mark.parametrize(
    ("option", "name"), [("--out", "mesh.ply"), ("--out", "mesh.png"), ("--json", "mesh.json")]
)
def test_results_that_cannot_be_written_are_refused_before_anything_is_read(tmp_path, capsys, option, name):
    (tmp_path / name).mkdir()
    results = ["--out", str(tmp_path / "mesh.ply"), "--json", str(tmp_path / "mesh.json")]
    assert main(["reconstruct", str(tmp_path / "no.mcap"), *results]) == 2
    assert f"{option} {tmp_path / name}: is a folder" in capsys.readouterr().err


def test_a_recording_that_is_none(tmp_path, capsys):
    assert main(["reconstruct", str(tmp_path / "no.mcap"), "--out", str(tmp_path / "mesh.ply")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_folders_without_metres_are_refused_with_the_remedy(tmp_path, capsys, make_folders, pipeline):
    source = make_folders({"a": (32, 32), "b": (32, 32)})
    assert (
        main(
            [
                "reconstruct",
                str(source),
                "--out",
                str(tmp_path / "mesh.ply"),
                "--rig",
                str(rig_file(tmp_path)),
                "--set",
                "engine.backend=torch",
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert "--camera-height" in error
    assert "--depth-topic" in error


def rig_file(folder):
    import yaml

    camera = CameraModel(32, 32, np.array([[30.0, 0, 15.5], [0, 30.0, 15.5], [0, 0, 1]]))
    path = folder / "rig.yaml"
    path.write_text(yaml.safe_dump(Rig(camera, camera, np.eye(3), np.array([0.1, 0, 0])).to_dict()))
    return path


def with_depth(process):
    def perceive(self, pair):
        seen = process(self, pair)
        seen.depth = np.full(seen.fused.shape[:2], 2.0, np.float32)
        return seen

    return perceive
