"""`thermal-fusion train STAGE`: reproduce the weights that ship with the package."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

HELP = "train a network (stages: fusion, diffusion, depth, objects); resumes a run left in --out"
TERMS = ("structure", "information", "difference")
SETTINGS = (
    *(
        "steps",
        "small_steps",
        "batch",
        "crop",
        "samples",
        "whole",
        "obstacles",
        "facing",
        "nights",
        "lit_nights",
        "raised",
        "simulated",
        "per_world",
        "seed",
        "spectrum",
        "start",
        "teacher",
        "teacher_fusion",
        "distil",
        "distil_edges",
        "heard",
        "natural",
        "frames",
        "every",
        "phrases",
        "labels",
        "learns",
        "muon",
        "learning_rate",
        "ema",
        "real",
        "twice",
        "steady",
        "dropped",
        "text",
    ),
    *TERMS,
    *("depth", "levels"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag per training setting; the defaults made the shipped weights."""
    parser.add_argument("stage", choices=["fusion", "diffusion", "depth", "objects"])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train/{vi,ir}, labels/, clip_text/"
    )
    parser.add_argument("--out", type=Path, help="checkpoints, log and weights (default runs/STAGE)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="end early, on the same schedule")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--crop", type=int, help="fusion, diffusion: crop edge in pixels, a multiple of 32")
    parser.add_argument(
        "--model",
        choices=["cross_attention", "diffusion"],
        default="cross_attention",
        help="fusion: which network (default cross_attention; diffusion needs `train diffusion` first)",
    )
    parser.add_argument(
        "--diffusion",
        type=Path,
        metavar="FILE",
        help="fusion --model diffusion: weights of `train diffusion` (default: runs/diffusion/denoiser.safetensors, "
        "else those that ship)",
    )
    parser.add_argument(
        "--levels",
        type=int,
        nargs="+",
        metavar="LEVEL",
        help="fusion --model diffusion: noise levels, 0 to 999",
    )
    parser.add_argument(
        "--depth-loss",
        dest="depth",
        type=float,
        metavar="WEIGHT",
        help="fusion --model diffusion: judge also by the depth that is seen in the picture; 0: do not",
    )
    parser.add_argument(
        "--no-text", dest="text", action="store_const", const=False, help="fusion: never say anything"
    )
    parser.add_argument(
        "--spectrum",
        choices=["visible", "infrared", "fused"],
        help="depth: what the network reads (default fused, which needs the other two)",
    )
    parser.add_argument("--small-steps", type=int, help="depth: how many of the steps see small pictures")
    parser.add_argument(
        "--start",
        metavar="WEIGHTS",
        help="begin with this file, or these shipped weights",
    )
    parser.add_argument(
        "--teacher",
        metavar="WEIGHTS",
        help="fusion: learn from the pictures of this fusion network, too; objects: from this head",
    )
    parser.add_argument(
        "--teacher-fusion", metavar="WEIGHTS", help="objects: the fusion network that the teacher reads"
    )
    parser.add_argument("--distil", type=float, help="fusion, objects: how much the teacher counts")
    parser.add_argument("--distil-edges", type=float, help="fusion: how much its edges count beside")
    parser.add_argument(
        "--heard",
        type=float,
        help="fusion --learns text: how much it counts that text is about what the teacher says",
    )
    parser.add_argument(
        "--natural", type=float, help="fusion --heard: how much, that the rest stays as it is without text"
    )
    parser.add_argument("--frames", type=int, help="fusion --heard: frames of clips, beside a batch")
    parser.add_argument(
        "--every",
        type=int,
        metavar="N",
        help="objects --teacher: learn from each N-th frame of the clips, too",
    )
    parser.add_argument("--phrases", type=int, help="fusion --heard: words that each picture is asked for")
    parser.add_argument("--labels", type=float, help="objects: how much labels count beside the teacher")
    for term in TERMS:
        parser.add_argument(f"--{term}", type=float, help="fusion: how much this term of the loss counts")
    parser.add_argument(
        "--learns", metavar="PART", help="fusion: train seen, picture or text alone (default all)"
    )
    parser.add_argument("--muon", type=float, help="learning rate of Muon for convolutions; 0: AdamW alone")
    parser.add_argument("--learning-rate", type=float, help="learning rate of AdamW")
    parser.add_argument(
        "--ema", type=float, help="decay of the averaged weights, which are those that are saved"
    )
    parser.add_argument("--whole", type=int, help="fusion --model diffusion: whole pictures in a batch")
    parser.add_argument("--samples", type=int, help="all but fusion with cross_attention: pictures to render")
    parser.add_argument("--obstacles", type=int, help="depth: more of them, with obstacles in the way")
    parser.add_argument("--facing", type=int, help="depth: and more of those, right before an obstacle")
    parser.add_argument("--nights", type=int, help="depth: and more, half of them on clear nights with lamps")
    parser.add_argument(
        "--lit-nights",
        type=int,
        help="depth: how many times as often as others clear nights with lamps are shown",
    )
    parser.add_argument("--simulated", type=int, help="objects: pictures of a batch that are rendered")
    parser.add_argument("--raised", type=int, help="objects: more of them, seen from poles and roofs")
    parser.add_argument(
        "--real",
        type=int,
        help="depth: pictures of a batch that are real; fusion --model diffusion: real pairs with a reference depth",
    )
    parser.add_argument(
        "--twice", type=int, help="depth: pictures of a batch that are seen again with other noise"
    )
    parser.add_argument(
        "--steady", type=float, help="depth: how much it counts that both are said to be as far"
    )
    parser.add_argument(
        "--dropped", type=float, help="objects: share of the features that a step goes without"
    )
    parser.add_argument("--per-world", type=int, help="depth: pictures of one world; fewer is more worlds")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("runs/simulated"),
        help="diffusion, depth, objects: where rendered pictures are kept",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="diffusion, depth, objects: processes that render (depth: and threads that make batches)",
    )


def run(args: argparse.Namespace) -> int:
    """Train and print the path of the weights."""
    from thermal_fusion_ros.errors import InputError
    from thermal_fusion_ros.training.stages import depth, diffusion, diffusion_fusion, fusion, objects

    stage = "diffusion_fusion" if (args.stage, args.model) == ("fusion", "diffusion") else args.stage
    defaults: Any = {
        "fusion": fusion.Settings(),
        "diffusion": diffusion.Settings(),
        "diffusion_fusion": diffusion_fusion.Settings(),
        "depth": depth.DEFAULTS[args.spectrum or "fused"],
        "objects": objects.Settings(),
    }[stage]
    given = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    foreign = sorted(set(given) - {field.name for field in dataclasses.fields(defaults)})
    if foreign:
        option = {"depth": "depth-loss", "text": "no-text"}.get(foreign[0], foreign[0].replace("_", "-"))
        raise InputError(f"--{option} is not a setting of the stage {args.stage}")
    if given.get("heard") and not {"distil", "distil_edges"}.isdisjoint(given):
        raise InputError("--distil, --distil-edges: with --heard the teacher's pictures are not learned from")
    if "levels" in given:
        given["levels"] = tuple(given["levels"])
    settings = dataclasses.replace(defaults, **given)
    out = args.out or Path("runs") / (f"depth_{settings.spectrum}" if stage == "depth" else stage)
    rendered: dict[str, Any] = {"cache": args.cache, "workers": args.workers, "stop_at": args.stop_at}
    if stage == "fusion":
        weights = fusion.train(args.data, out, settings, stop_at=args.stop_at)
    elif stage == "diffusion_fusion":
        weights = diffusion_fusion.train(
            args.data, out, settings, diffusion=args.diffusion or _trained_diffusion(), **rendered
        )
    else:
        train: Any = {"diffusion": diffusion.train, "depth": depth.train, "objects": objects.train}[stage]
        weights = train(args.data, out, settings, **rendered)
    print(weights)
    return 0


def _trained_diffusion() -> Path:
    from thermal_fusion_ros.models.checkpoint import shipped

    own = Path("runs/diffusion/denoiser.safetensors")
    return own if own.is_file() else shipped("diffusion")
