"""`python -m benchmark.sample_sheet` draws pairs from the diffusion model: colour pictures over their thermal ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from thermal_fusion_ros.models.checkpoint import load_denoiser, shipped
from thermal_fusion_ros.models.diffusion import sample, zoom_of
from thermal_fusion_ros.training.data import Floats, Image

ROWS, COLUMNS = 2, 8
ENLARGED = 2


def strips(drawn_N4HW: Floats) -> Iterator[Image]:
    """Samples in [-1, 1] as strips of COLUMNS pictures, H×W×3 BGR: colour, thermal, colour, thermal …"""
    for start in range(0, len(drawn_N4HW), COLUMNS):
        some = ((drawn_N4HW[start : start + COLUMNS] + 1) * 127.5).clip(0, 255).astype(np.uint8)
        for channels in ([2, 1, 0], [3, 3, 3]):
            strip = np.concatenate(list(some[:, channels].transpose(0, 2, 3, 1)), axis=1)
            larger = cv2.resize(strip, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
            yield np.asarray(larger, np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.sample_sheet", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark/samples.png"), metavar="FILE")
    parser.add_argument("--weights", type=Path, default=shipped("diffusion"), metavar="FILE")
    parser.add_argument("--size", type=int, nargs=2, default=(48, 64), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--steps", type=int, default=50, help="of DDIM")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    height, width = args.size
    denoiser = load_denoiser(args.weights)
    drawn = sample(
        denoiser, ROWS * COLUMNS, (height, width), zoom_of(width), seed=args.seed, steps=args.steps
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), np.vstack(list(strips(drawn.numpy()))))
    print(args.out)


if __name__ == "__main__":
    main()
