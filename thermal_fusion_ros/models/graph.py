"""The one graph a frame costs: camera bytes in, display bytes, depth and objects out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet, native_size
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.models.guided_fusion import SHARED
from thermal_fusion_ros.models.objects import ObjectHead
from thermal_fusion_ros.models.small import REDUCTION, SmallFusion

FUSION_STRIDE = 32
OBJECTS = ("scores", "edges")


def padded(height: int, width: int, stride: int = FUSION_STRIDE) -> tuple[int, int]:
    """The smallest size that holds an image of this one and that a graph of this `stride` takes."""
    return -(-height // stride) * stride, -(-width // stride) * stride


def reduced(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture at another size (height, width), usually smaller; every pixel of it counts."""
    factor = min(image_BCHW.shape[2] // size[0], image_BCHW.shape[3] // size[1])
    if factor > 1:
        image_BCHW = nn.functional.avg_pool2d(image_BCHW, factor)
    if image_BCHW.shape[2:] == size:
        return image_BCHW
    return nn.functional.interpolate(image_BCHW, size=size, mode="bilinear")


class PerceptionGraph(nn.Module):
    """Fusion, depth and objects between uint8 images and metres-to-be, static shapes; conversions run on the device.

    `outputs` names what it returns: `fused`; with a depth network `depth` and `sigma`; with an object head `scores` and
    `edges`. Sides of pictures are multiples of `stride`. The head reads what the cross-attention network that it was
    trained on shares: `fusion`, or else `trunk`.
    """

    def __init__(
        self,
        fusion: nn.Module,
        depth: DepthNet | None = None,
        objects: ObjectHead | None = None,
        trunk: CrossAttentionFusion | None = None,
    ) -> None:
        super().__init__()
        self.fusion, self.depth, self.objects, self.trunk = fusion, depth, objects, trunk
        self.stride = FUSION_STRIDE * (REDUCTION if isinstance(fusion, SmallFusion) else 1)
        parts = (("fused",), () if depth is None else ("depth", "sigma"), () if objects is None else OBJECTS)
        self.outputs: tuple[str, ...] = sum(parts, ())

    def forward(self, rgb_BHW3: Tensor, thermal_BHW: Tensor, code_BD: Tensor) -> tuple[Tensor, ...]:
        """One frame.

        uint8 rgb_BHW3 and thermal_BHW, float32 code_BD (D = 64), of a size that :func:`padded` returns. Returns the
        fused image, uint8 BHW3; float32 Bhw of :func:`native_size`, depth in units of camera height
        times f / width (see :mod:`thermal_fusion_ros.models.depth`), and its relative uncertainty; float32 Bhw7 and
        Bhw4 with h = H / 8, scores and edges of objects (see :class:`ObjectHead`).
        """
        dtype = next(self.parameters()).dtype  # half where an engine has made it so
        # TensorRT takes bytes at its borders only: cast first on the way in, last on the way out.
        rgb = (rgb_BHW3.to(dtype) / 255.0).permute(0, 3, 1, 2)
        thermal = (thermal_BHW.to(dtype) / 255.0).unsqueeze(1)
        fused, shared = self._fuse(rgb, thermal, code_BD.to(dtype))
        shown = (fused.float() * 255.0 + 0.5).clamp(0.0, 255.0)
        results: list[Tensor] = [shown.permute(0, 2, 3, 1).contiguous().to(torch.uint8)]
        if self.depth is not None:
            small = reduced(fused, native_size(rgb_BHW3.shape[1], rgb_BHW3.shape[2]))
            results += [x.float().squeeze(1).exp() for x in self.depth(small)]
        if self.objects is not None:
            results += [x.float().permute(0, 2, 3, 1).contiguous() for x in self.objects(shared)]
        return tuple(results)

    def _fuse(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The fused picture in [0, 1], and the features that the object head reads."""
        if self.objects is not None and self.trunk is None:
            fused, _, shared = self.fusion.fuse(rgb, thermal, code)  # type: ignore[operator]
            return fused.clamp(0.0, 1.0), shared
        shared = [] if self.trunk is None else self.trunk.encode(rgb, thermal)[SHARED:]
        return self.fusion(rgb, thermal, code), shared


def example_inputs(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Fixed inputs with structure at every scale, to export with and to check a built engine against.

    Most of it all channels share, as those of cameras do: what networks make of anything else hangs on the last digit.
    """
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, 1, width)[None, :]
    waves = torch.stack(
        [0.5 + 0.5 * torch.sin(2 * torch.pi * f * (x + 0.7 * y)) for f in (1.0, 3.0, 11.0, 37.0)]
    )
    noise = torch.rand((4, height, width), generator=generator)
    shared = (waves * torch.tensor([0.5, 0.25, 0.15, 0.1]).reshape(4, 1, 1)).sum(0)
    image = ((0.7 * shared + 0.3 * (0.8 * waves + 0.2 * noise)) * 255).to(torch.uint8)
    code = torch.randn((1, CODE_DIM), generator=generator)
    return image[:3].permute(1, 2, 0)[None].contiguous(), image[3][None].contiguous(), code
