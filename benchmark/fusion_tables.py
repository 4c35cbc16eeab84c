"""Tables of our networks on the validation set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from benchmark.context import Context
from benchmark.markdown import table
from thermal_fusion_ros.evaluation import ranking
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON


def fusion(context: Context) -> str:
    """Our networks among the published methods: nine metrics with ranks."""
    ours = {_bold(name): context.scores(context.fused(name)).per_image for name in context.networks}
    compared = ranking.compare({**ours, **context.peers}, COMMON)
    return f"{ranking.as_markdown(compared)}\n\nMean over {compared.pictures} pictures; in brackets the rank."


def by_source(context: Context, *networks: str) -> str:
    """Nine metrics for each data set of the validation set, of the networks named, or of all."""
    parts = [_by_source(context, network) for network in networks or context.networks]
    return "\n\n".join(parts)


def _by_source(context: Context, network: str) -> str:
    groups: dict[str, dict[str, Mapping[str, float]]] = defaultdict(dict)
    for name, row in context.scores(context.fused(network)).per_image.items():
        groups[context.sources[name]][name] = row
    rows = []
    for source, per_image in sorted(groups.items()):
        mean = ranking.mean_of(per_image)
        rows.append([source, str(len(per_image)), *(ranking.rounded(mean[metric]) for metric in COMMON)])
    return table([f"{network} on", "pictures", *COMMON], rows)


def people(context: Context) -> str:
    """How well people stand out, how far colours drift, how much is invented: ours and the peers with pictures."""
    methods = {_bold(name): context.fused(name) for name in context.networks} | context.peer_pictures
    columns = ("SCR_fused", "dE_chroma", "N_abf")
    rows: list[list[str]] = []
    for name, folder in methods.items():
        scores = context.scores(folder)
        if not rows:
            for role in ("visible", "thermal"):
                rows.append([role, ranking.rounded(scores.mean[f"SCR_{role}"]), "–", "–"])
        rows.append([name, *(ranking.rounded(scores.mean[column]) for column in columns)])
    return table(["picture", "SCR of people", "ΔE of chroma", "N_abf"], rows)


def _bold(name: str) -> str:
    return f"**{name}**"
