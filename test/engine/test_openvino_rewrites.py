import copy
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.cache import EngineCache

openvino = pytest.importorskip("openvino")

from thermal_fusion_ros.engine import openvino_backend  # noqa: E402
from thermal_fusion_ros.engine.openvino_rewrites import rewrite  # noqa: E402


class Pyramid(nn.Module):
    """A map estimated coarsely, enlarged and corrected, as depth is; `factor` of the enlargement."""

    def __init__(self, channels: int = 2, factor: int = 2, mode: str = "bilinear") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.coarse, self.fine = (nn.Conv2d(3, channels, 3, 1, 1) for _ in range(2))
        with torch.no_grad():
            self.coarse.bias += 6.03
        self.factor, self.mode = factor, mode

    def forward(self, image: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(image, self.factor)
        big = nn.functional.interpolate(self.coarse(small), scale_factor=float(self.factor), mode=self.mode)
        return big + self.fine(image)


def converted(network: nn.Module, image: Tensor) -> "openvino.Model":
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(torch.export.export(network.eval(), (image,)), example_input=(image,))
    model.reshape({model.inputs[0]: list(image.shape)})
    return model


def computed(model: "openvino.Model", image: Tensor, precision: str) -> np.ndarray:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != precision:
        pytest.skip(f"this CPU has no {precision}")
    return np.array(compiled([image.numpy()])[0])


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_the_same_is_computed(channels, factor):
    network = Pyramid(channels, factor)
    image = torch.rand((1, 3, 4 * factor, 6 * factor))
    model = converted(network, image)
    assert rewrite(model) == 3  # two biases and a resize
    assert not [node for node in model.get_ordered_ops() if node.get_type_name() == "Interpolate"]
    with torch.inference_mode():
        np.testing.assert_allclose(computed(model, image, "f32"), network(image), rtol=1e-5)


@pytest.mark.parametrize(("network", "places"), [(Pyramid(5), 0), (Pyramid(2, mode="nearest"), 2)])
def test_other_resizes_and_wide_maps_are_left_alone(network, places):
    image = torch.rand((1, 3, 16, 16))
    model = converted(network, image)
    assert rewrite(model) == places
    with torch.inference_mode():
        np.testing.assert_allclose(computed(model, image, "f32"), network(image), rtol=1e-5)


def test_sums_of_thin_maps_are_not_rounded_to_bf16():
    network, image = Pyramid(), torch.rand((1, 3, 32, 48))
    plain = converted(network, image)
    rewritten = copy.deepcopy(plain)
    rewrite(rewritten)
    with torch.inference_mode():
        exact = network(image).numpy()
    before, after = (np.abs(computed(x, image, "bf16") - exact).mean() for x in (plain, rewritten))
    assert after < before / 3


class Looks(nn.Module):
    """Reads a picture of bytes as a network does: channels first, from -1 to 1, with a border of zeros."""

    def __init__(self, divisor: float = 255.0, channels: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.divisor, self.look = divisor, nn.Conv2d(3, channels, 3, 1, 1)

    def forward(self, picture_BHW3: Tensor) -> Tensor:
        return self.look((picture_BHW3.float() / self.divisor).permute(0, 3, 1, 2) * 2.0 - 1.0)


@pytest.mark.parametrize(("divisor", "places"), [(255.0, 1), (100.0, 0)])
def test_bytes_go_into_convolutions_as_they_are(divisor, places):
    """2 b - 255 is a whole number that bf16 holds; 2 b - 100 may be too large for that."""
    network, picture = Looks(divisor), torch.randint(0, 256, (1, 16, 24, 3), dtype=torch.uint8)
    plain = converted(network, picture)
    rewritten = copy.deepcopy(plain)
    assert rewrite(rewritten) == places
    with torch.inference_mode():
        exact = network(picture).numpy()
    np.testing.assert_allclose(computed(rewritten, picture, "f32"), exact, atol=1e-5)
    if places:
        before, after = (np.abs(computed(x, picture, "bf16") - exact).mean() for x in (plain, rewritten))
        assert after < before


def test_sizes_are_known_when_the_model_is_compiled(tiny, tmp_path, monkeypatch):
    """A size known only at run time costs half the speed; stored models know it too."""
    seen = []
    rewritten = openvino_backend.rewrite
    monkeypatch.setattr(openvino_backend, "rewrite", lambda model: seen.append(rewritten(model)))
    cache, core = EngineCache(tmp_path), openvino.Core()
    for _ in range(2):
        model = openvino_backend._converted(core, tiny, 64, 96, cache)
        assert not model.is_dynamic()
    assert len(seen) == 1


def test_the_engine_takes_one_size_only(tiny, tmp_path):
    engine = openvino_backend.OpenVinoEngine(tiny, 64, 96, EngineConfig(), EngineCache(tmp_path))
    rgb, thermal, code = (
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros(64, np.float32),
    )
    with pytest.raises(RuntimeError):
        engine.run(rgb, thermal, code)
