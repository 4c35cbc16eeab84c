"""Objects: a light anchor-free detector on the features that fusion has computed anyway.

Every cell of a grid of stride 8 says what has its middle there and how far its edges are (Tian et al., FCOS, ICCV 2019;
Zhou et al., Objects as Points, 2019). Its score stands for "an object, and this well outlined": it is trained towards
the overlap with the true box (Li et al., Generalized Focal Loss, NeurIPS 2020). It reads what is merged before the
guidance code comes in, so no text changes what is found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thermal_fusion_ros.config import ObjectsConfig
from thermal_fusion_ros.detections import LABELS, Detection
from thermal_fusion_ros.geometry.boxes import iou
from thermal_fusion_ros.models.cross_attention import WIDTHS
from thermal_fusion_ros.models.depth import Residual, Up, conv
from thermal_fusion_ros.models.guided_fusion import SHARED

CLASSES = LABELS
STRIDE = 8  # pixels between cells: people on real pictures are seldom narrower
WIDTH, DEEP = 64, 88  # channels at 1/8, and at 1/16 and 1/32
MIN_SCORE = ObjectsConfig().min_score  # chosen on the validation set, see weights/objects.md
MOST = 64  # detections of a picture
LEAST_PX = 4.0  # of a box inside the picture
OVERLAP = 0.5  # IoU of two boxes of one class that are taken for one object
RARE = 0.01  # score that an untrained head gives to everything
_FARTHEST = math.log(128.0)  # strides, of an edge


class ObjectHead(nn.Module):
    """0.8 M parameters, 2.3 GFLOP (2 x MAC) at 640x480, beside those of the features it reads."""

    def __init__(self) -> None:
        super().__init__()
        quarter, eighth, sixteenth = WIDTHS[SHARED:]
        self.fine = conv(quarter, WIDTH // 2, 2)
        self.in8 = nn.Sequential(conv(WIDTH // 2 + eighth, WIDTH), conv(WIDTH, WIDTH))
        self.down16 = conv(WIDTH, DEEP, 2)
        self.in16 = nn.Sequential(nn.Conv2d(DEEP + sixteenth, DEEP, 1, bias=False), nn.BatchNorm2d(DEEP))
        self.mix16 = Residual(DEEP)
        self.down32 = conv(DEEP, DEEP, 2)
        self.context = nn.Sequential(Residual(DEEP), Residual(DEEP, 2))  # a person is known by what is around
        self.up16, self.up8 = Up(DEEP, DEEP), Up(DEEP, WIDTH)
        self.what = nn.Conv2d(WIDTH, len(CLASSES), 3, 1, 1)
        self.where = nn.Conv2d(WIDTH, 4, 3, 1, 1)
        for layer in (self.what, self.where):
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.constant_(self.what.bias, -math.log(1 / RARE - 1))  # type: ignore[arg-type]
        nn.init.ones_(self.where.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Find objects.

        features: what :meth:`CrossAttentionFusion.fuse` shares, BCHW at 1/4, 1/8 and 1/16 of a picture whose sides are
        multiples of 32. Returns scores B7hw in [0, 1] at 1/8, zero but at their local peaks, one layer for each of
        :data:`CLASSES`; and B4hw, how far the left, top, right and bottom edge are from the middle of the cell, in
        strides. :func:`decode` makes boxes of them.
        """
        logits, edges = self.predict(features)
        scores = torch.sigmoid(logits)
        highest = nn.functional.max_pool2d(scores, 3, 1, 1)
        # Nearly the highest will do: an engine may round the two sides differently. decode() removes twins.
        return scores * (scores >= 0.99 * highest).to(scores.dtype), edges

    def predict(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What is trained: logits B7hw of every cell, and the edges B4hw as above."""
        return self.tell(self.look(features)[-1])

    def look(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What it makes of the features on the way: at 1/8, at 1/16, there with what is around, and at 1/8 again."""
        x4, x8, x16 = features
        first = self.in8(torch.cat([self.fine(x4), x8], dim=1))
        coarse = self.mix16(torch.relu(self.in16(torch.cat([self.down16(first), x16], dim=1))))
        known = self.up16(self.context(self.down32(coarse)), coarse)
        return [first, coarse, known, self.up8(known, first)]

    def tell(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`predict` from the last of :meth:`look`."""
        return self.what(last), torch.exp(self.where(last).clamp(-_FARTHEST, _FARTHEST))


def decode(
    scores: NDArray[Any],
    edges: NDArray[Any],
    size: tuple[int, int],
    threshold: float = MIN_SCORE,
    most: int = MOST,
    stride: int = STRIDE,
) -> list[Detection]:
    """Detections (label, x0 y0 x1 y1 in pixels, score) of one picture of `size` (height, width), best first.

    `scores` 7×h×w and `edges` 4×h×w as :class:`ObjectHead` returns them, without the batch, for cells of `stride`
    pixels. Boxes end where the picture does. Of boxes of one class that overlap (IoU above 0.5) the best stays; at most
    `most` are looked at.
    """
    found = np.flatnonzero(scores >= threshold)
    found = found[np.argsort(-scores.reshape(-1)[found], kind="stable")[:most]]
    label, row, column = np.unravel_index(found, scores.shape)
    score = scores[label, row, column]
    left, top, right, bottom = edges[:, row, column].astype(np.float32)
    x, y = column + 0.5, row + 0.5
    boxes = stride * np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    boxes = np.clip(boxes, 0, [size[1], size[0]] * 2)
    same = label[:, None] == label[None, :]
    rivals = (iou(boxes, boxes) > OVERLAP) & same
    smallest = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    kept: list[int] = []
    for i in range(len(boxes)):
        if smallest[i] >= LEAST_PX and not rivals[i, kept].any():
            kept.append(i)
    return [
        Detection(CLASSES[label[i]], (float(x0), float(y0), float(x1), float(y1)), float(score[i]))
        for i, (x0, y0, x1, y1) in zip(kept, boxes[kept], strict=True)
    ]
