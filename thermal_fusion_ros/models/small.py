"""Half the work, with the same weights: fusion looks at the pair at half size and applies what it says at full size.

A fusion network does not paint, it says for every pixel how to mix the two sources (see
:func:`~thermal_fusion_ros.models.compose.compose`). These maps can be enlarged; the fine structure comes from the
sources themselves, as in joint upsampling (Kopf et al., SIGGRAPH 2007).
"""

from __future__ import annotations

from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.compose import compose
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.guided_fusion import SHARED

REDUCTION = 2


def small(fusion: nn.Module) -> SmallFusion:
    """`fusion` as its own small profile; :class:`InputError` where there is none."""
    if not isinstance(fusion, CrossAttentionFusion):
        raise InputError("fusion.model small: fusion.weights must be those of a cross_attention network")
    return SmallFusion(fusion)


class SmallFusion(nn.Module):
    """A trained network behind the interface of one. A quarter of its operations: 1.8 GFLOP (2 x MAC) at 640x480.

    Features that it shares are those of the half picture: what is found in them has boxes of half the size.
    """

    def __init__(self, fusion: CrossAttentionFusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, rgb_B3HW: Tensor, thermal_B1HW: Tensor, code_BD: Tensor) -> Tensor:
        """Fuse.

        rgb_B3HW, thermal_B1HW: [0, 1], H and W multiples of 32. code_BD: guidance codes (D = 64), zero for no text.
        Returns the fused RGB image B3HW in [0, 1].
        """
        fused, _, _ = self.fuse(rgb_B3HW, thermal_B1HW, code_BD)
        return fused.clamp(0.0, 1.0)

    def fuse(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """As :meth:`forward`, but not clamped, and with the logit of the text's relevance (at 1/16) and the features
        that other heads share (1/8, 1/16 and 1/32), which no text changes.
        """
        skip = self.fusion.encode(*(nn.functional.avg_pool2d(x, REDUCTION) for x in (rgb, thermal)))
        maps, relevance = self.fusion.decode(skip, code)
        maps = nn.functional.interpolate(maps, scale_factor=float(REDUCTION), mode="bilinear")
        return compose(rgb, thermal, maps, relevance, code), relevance, skip[SHARED:]
