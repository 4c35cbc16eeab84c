"""Table of `thermal-fusion bench`."""

from __future__ import annotations

import json

from benchmark.context import Context
from benchmark.markdown import table


def latency(context: Context) -> str:
    """Engine and frame path per backend on this machine."""
    path = context.work / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    context.command("bench", "--json", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for backend, result in content["backends"].items():
        times = [
            f"{result[key][which]:.1f}" for key in ("engine_ms", "frame_ms") for which in ("median", "p99")
        ]
        ratios = [f"{result[key]:.1f}" for key in ("against_eager", "frame_against_engine", "floor_ms")]
        rows.append([backend, *times, f"{result['gflop']:.2f}", *ratios])
    header = ["backend", "engine median, ms", "p99", "frame median, ms", "p99", "GFLOP"]
    header += ["times faster than eager", "frame / engine", "floor, ms"]
    machine = ", ".join(f"{key} {value}" for key, value in content["machine"].items())
    return f"{table(header, rows)}\n\n{machine}"
