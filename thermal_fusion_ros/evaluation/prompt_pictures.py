"""The same pairs of pictures fused without a prompt and with several, to be looked at side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from thermal_fusion_ros.bags.pictures import PicturePair, read_pair
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.evaluation.arrays import Picture8
from thermal_fusion_ros.evaluation.pictures import grey_of
from thermal_fusion_ros.evaluation.targets import Box, signal_to_clutter
from thermal_fusion_ros.frames import FUSED
from thermal_fusion_ros.pipeline import Pipeline


def prompt_pictures(
    pairs: Sequence[PicturePair], prompts: Sequence[str], people: Mapping[str, Sequence[Box]] | None = None
) -> Iterator[tuple[str, dict[str, Picture8]]]:
    """Name, and fused pictures (BGR) by caption, of every pair.

    `people`: their boxes by name of the pair; captions then say what a prompt did to their contrast.

    Raises :class:`InputError` for a prompt that is not understood and a picture that cannot be read.
    """
    # A few pictures of any size: no engine is worth building.
    pipeline = Pipeline(Config().with_values({"engine.backend": "torch", "depth.enabled": False}))
    pipeline.wanted = frozenset({FUSED})
    for words in prompts:
        pipeline.check_prompt(words)
    for pair in pairs:
        frames = read_pair(pair)
        shown: dict[str, Picture8] = {}
        plain: float | None = None
        for words in ("", *prompts):
            pipeline.reset()
            pipeline.set_prompt(words)
            picture = np.ascontiguousarray(pipeline.process(frames).fused[..., ::-1])
            contrast = signal_to_clutter(grey_of(picture), (people or {}).get(pair.name, ()))
            plain = contrast if not words else plain
            change = f": people {contrast / plain - 1:+.0%}" if words and contrast and plain else ""
            shown[f"“{words}”{change}" if words else "no prompt"] = picture
        yield pair.name, shown


def evenly(names: Sequence[str], count: int) -> list[str]:
    """`count` of the names, evenly spread; all where there are fewer."""
    if len(names) <= count:
        return list(names)
    return [names[(2 * k + 1) * len(names) // (2 * count)] for k in range(count)]
