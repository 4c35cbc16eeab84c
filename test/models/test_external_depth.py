import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.external_depth import ExternalDepth, inverted
from thermal_fusion_ros.torchvision_beside_cpu import mend_torchvision


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Depth Anything of random weights, small, saved as its authors save theirs."""
    pytest.importorskip("transformers")
    mend_torchvision()
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        image_size=70,
        patch_size=14,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
        patch_size=14,
    )
    path = tmp_path_factory.mktemp("depth_model")
    DepthAnythingForDepthEstimation(config).save_pretrained(path)
    (path / "preprocessor_config.json").write_text('{"size": {"height": 70, "width": 70}}')
    return path


def test_a_folder_becomes_depth(folder):
    network = ExternalDepth(str(folder))
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    depth, sigma = network(image)
    assert depth.shape == sigma.shape == (70, 98)  # whole patches, the picture's ratio
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert (depth > 0).all()
    assert not network.metric


def test_the_pipeline_runs_it_beside_the_graph(folder):
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.evaluation.frame_path import frames, scene
    from thermal_fusion_ros.pipeline import Pipeline

    config = Config().with_values({"depth.model": str(folder), "engine.backend": "torch"})
    perception = Pipeline(config).process(frames(*scene(64, 96, 1)[0]))
    assert perception.relative_depth is not None
    assert perception.depth is None  # no source of scale
    assert "no source of metric scale" in perception.depth_refused


def test_inverse_depth_is_turned_round():
    depth = inverted(np.array([[4.0, 2.0, 0.0, -1.0]], np.float32))
    np.testing.assert_allclose(depth, [[1, 2, 200, 200]])


def test_what_is_no_model_is_refused_by_name(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"depth\.model .*not a depth model"):
        ExternalDepth(str(tmp_path))
