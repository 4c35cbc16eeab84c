"""`thermal-fusion fuse`: two folders of pictures in, fused pictures out."""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thermal_fusion_ros.cli._options import add_config_options, progress, read_config
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_json

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.pictures import PicturePair
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.frames import Perception
    from thermal_fusion_ros.pipeline import Pipeline

OBJECTS_FILE = "objects.json"
# The node does both by default, `fuse` what it is asked for: by an option, or by --set or --params.
ONLY_FUSE = {"depth.enabled": False, "objects.enabled": False}
WORTH_BUILDING = 30  # pictures of one size; building takes about as long as they do

DEPTH_IS = {
    True: "metres, NaN where invalid or too uncertain",
    False: "relative, no unit; give --camera-height or --rig for metres",
}

HELP = "fuse two folders of pictures with matching names"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folders, model and prompt."""
    parser.add_argument("--visible", type=Path, required=True, metavar="DIR", help="colour pictures")
    parser.add_argument(
        "--thermal", type=Path, required=True, metavar="DIR", help="thermal pictures, same names"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where NAME.png is written")
    parser.add_argument("--model", help="fusion network (fusion.model)")
    parser.add_argument("--prompt", help="what matters, e.g. 'person, car' (fusion.prompt)")
    parser.add_argument(
        "--depth",
        action="store_true",
        help="also NAME_depth.npy (float32, farther is larger), NAME_depth.png, and depth.json: which are metres "
        "(depth.enabled)",
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help=f"also {OBJECTS_FILE}: the caption of every picture, and what was found: box, distance, heat "
        "(objects.enabled)",
    )
    parser.add_argument(
        "--camera-height", type=float, metavar="METRES", help="above the ground: makes depth metres"
    )
    parser.add_argument(
        "--rig", type=Path, metavar="FILE", help="rig YAML of the raw pictures' cameras (registration.rig)"
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Fuse what can be fused, name the rest; 2 when anything failed."""
    from thermal_fusion_ros.bags.pictures import match_pictures
    from thermal_fusion_ros.cli.main import EXIT_BAD_INPUT
    from thermal_fusion_ros.files import make_folder
    from thermal_fusion_ros.pipeline import Pipeline

    for option, folder in (("--visible", args.visible), ("--thermal", args.thermal)):
        if args.out.resolve() == folder.resolve():  # the names are the same, too: originals would be lost
            raise InputError(f"--out {args.out}: is the folder of {option}; choose another")
    config = _config(args)
    depth = config.depth.enabled
    if config.objects.enabled:  # how far they are, depth says
        config = config.with_values({"depth.enabled": True})
    config = _with_lens(config)
    pairs, problems = match_pictures(args.visible, args.thermal)
    pipeline_for = cache(Pipeline)
    plan = [(pipeline_for(_config_for(len(group), config)), group) for group in _by_size(pairs)]
    make_folder(args.out)
    fused = 0
    written = Written()
    try:
        with progress(len(pairs), "pair", "fusing") as bar:
            for pipeline, group in plan:
                for pair in group:
                    problem = fuse_pair(pipeline, pair, args.out, written, depth=depth)
                    fused += problem is None
                    problems += [problem] if problem else []
                    bar.update()
    finally:
        try:
            _tell(f"{fused} of {len(pairs)} pairs fused into {args.out}", problems, written)
        finally:  # not lost where nobody reads that
            written.save(args.out)
    return EXIT_BAD_INPUT if problems else 0


def _tell(done: str, problems: list[str], written: Written) -> None:
    for problem in problems:
        print(f"thermal-fusion: {problem}", file=sys.stderr)
    print(done + f", {len(problems)} problems" * bool(problems))
    for metric, count in Counter(written.depths.values()).items():
        print(f"depth of {count}: {DEPTH_IS[metric]}")


def _config(args: argparse.Namespace) -> Config:
    """What --params, --set and the options say, the options last."""
    from thermal_fusion_ros.config import Config

    given = {
        "fusion.model": args.model,
        "fusion.prompt": args.prompt,
        "depth.camera_height_m": args.camera_height,
        "registration.rig": None if args.rig is None else str(args.rig),
        "depth.enabled": args.depth or None,
        "objects.enabled": args.objects or None,
    }
    config = read_config(args, Config().with_values(ONLY_FUSE))
    config = config.with_values({name: value for name, value in given.items() if value is not None})
    if args.camera_height is not None and not (config.depth.enabled or config.objects.enabled):
        raise InputError(
            f"--camera-height {args.camera_height:g}: says how far things are; add --depth or --objects"
        )
    return config


@dataclass
class Written:
    """Beside the fused pictures: which have depth, and if in metres; and what was found in each."""

    depths: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write what there is of either."""
        from thermal_fusion_ros.evaluation.folders import DEPTHS_FILE

        if self.depths:
            write_json(folder / DEPTHS_FILE, {"metres": self.depths})
        if self.objects:
            write_json(folder / OBJECTS_FILE, self.objects)


def fuse_pair(
    pipeline: Pipeline, pair: PicturePair, out: Path, written: Written, *, depth: bool = False
) -> str | None:
    """Write `out`/NAME.png and, with `depth`, NAME_depth.npy and NAME_depth.png.

    Returns what went wrong instead, if something did; `written` is told the rest.
    """
    from thermal_fusion_ros.bags.pictures import read_pair, write_picture
    from thermal_fusion_ros.language.account import account

    try:
        frames = read_pair(pair)
        pipeline.reset()  # pictures of a folder are no film: nothing is carried from one to the next
        perception = pipeline.process(frames)
        write_picture(out / f"{pair.name}.png", perception.fused)
        if depth and perception.relative_depth is not None:
            written.depths[pair.name] = write_depth(perception, out, pair.name)
        if pipeline.config.objects.enabled:
            written.objects[pair.name] = account(frames.rgb.image, perception)
    except InputError as error:
        return str(error) if pair.name in str(error) else f"{pair.name}: {error}"
    return None


def write_depth(perception: Perception, out: Path, name: str) -> bool:
    """Write NAME_depth.npy and NAME_depth.png; returns whether the numbers are metres."""
    import numpy as np

    from thermal_fusion_ros.bags.pictures import write_picture
    from thermal_fusion_ros.evaluation.depth_picture import coloured
    from thermal_fusion_ros.files import write_whole
    from thermal_fusion_ros.geometry.depth_filter import enlarged

    assert perception.relative_depth is not None
    depth = perception.depth
    if depth is None:
        depth = enlarged(perception.relative_depth, *perception.fused.shape[:2])
    array = io.BytesIO()
    np.save(array, depth.astype(np.float32, copy=False))
    write_whole(out / f"{name}_depth.npy", array.getvalue())
    write_picture(out / f"{name}_depth.png", coloured(depth))
    return perception.depth is not None


def _with_lens(config: Config) -> Config:
    """Metres need a lens: the usual one where only a height is known, and a line that says so."""
    from thermal_fusion_ros.sensing.camera import USUAL_FOV_DEG

    known = config.registration.rig or config.depth.horizontal_fov_deg
    metres = config.depth.camera_height_m > 0 or config.objects.enabled  # known heights make metres, too
    if not config.depth.enabled or not metres or known:
        return config
    print(
        f"thermal-fusion: lens unknown, {USUAL_FOV_DEG:.0f}° across assumed; distances are as good as that "
        "(--set depth.horizontal_fov_deg=DEGREES, or --rig FILE)",
        file=sys.stderr,
    )
    return config.with_values({"depth.horizontal_fov_deg": USUAL_FOV_DEG})


def _by_size(pairs: list[PicturePair]) -> list[list[PicturePair]]:
    """The pairs grouped by padded size of the visible picture, because an engine serves one size."""
    from thermal_fusion_ros.bags.pictures import picture_size
    from thermal_fusion_ros.models.graph import padded

    groups: defaultdict[tuple[int, int], list[PicturePair]] = defaultdict(list)
    for pair in pairs:
        groups[padded(*picture_size(pair.visible))].append(pair)
    return list(groups.values())


def _config_for(pictures: int, config: Config) -> Config:
    """A few pictures of a size are done by plain torch before a faster engine for that size is built, where it runs."""
    choosable = config.engine.backend == "auto" and config.engine.device != "intel_gpu"
    if pictures < WORTH_BUILDING and choosable:
        return config.with_values({"engine.backend": "torch"})
    return config
