"""Scores folders of pictures, in parallel, with a reason for whatever is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation import catalogue, colour, folders, fusion_metrics, targets
from thermal_fusion_ros.evaluation.folders import Skipped
from thermal_fusion_ros.evaluation.fusion_metrics import SourcePair
from thermal_fusion_ros.evaluation.pictures import grey_of, read_picture
from thermal_fusion_ros.evaluation.ranking import mean_of
from thermal_fusion_ros.worker_pool import WorkerPool

_PICTURES_PER_WORKER = 4  # fewer don't pay for the start of a process


@dataclass(frozen=True)
class Job:
    """One picture to score."""

    name: str
    visible: Path
    thermal: Path
    fused: Path
    metrics: tuple[str, ...]
    people: tuple[targets.Box, ...] = ()


@dataclass
class Scores:
    """What a folder of fused pictures scored."""

    per_image: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each metric over the pictures that have it."""
        return mean_of(self.per_image)

    def as_dict(self) -> dict[str, object]:
        """The content of `evaluate --json`."""
        counted = {metric: sum(metric in row for row in self.per_image.values()) for metric in self.mean}
        return {
            "mean": self.mean,
            "per_image": self.per_image,
            "skipped": [{"name": item.name, "why": item.why} for item in self.skipped],
            "pictures": counted,
        }


def score_job(job: Job) -> dict[str, float]:
    """Metrics of one picture; those that don't apply to it (no people, no light) are left out.

    Raises :class:`InputError` for unreadable files and unequal sizes.
    """
    pictures = {"visible": job.visible, "thermal": job.thermal, "fused": job.fused}
    decoded = {role: read_picture(path) for role, path in pictures.items()}
    grey = {role: grey_of(picture) for role, picture in decoded.items()}
    wanted = [name for name in job.metrics if name in fusion_metrics.METRICS]
    values = SourcePair(grey["visible"], grey["thermal"]).score(grey["fused"], wanted)
    extra: dict[str, Callable[[], float | None]] = {
        "dE_chroma": lambda: colour.chroma_shift(decoded["fused"], decoded["visible"]),
        "SCR_visible": lambda: targets.signal_to_clutter(grey["visible"], job.people),
        "SCR_thermal": lambda: targets.signal_to_clutter(grey["thermal"], job.people),
        "SCR_fused": lambda: targets.signal_to_clutter(grey["fused"], job.people),
    }
    for name in job.metrics:
        if name in extra and (value := extra[name]()) is not None:
            values[name] = value
    return {name: values[name] for name in job.metrics if name in values}


def score_folders(
    visible: Path,
    thermal: Path,
    fused: Path,
    metrics: Sequence[str] = fusion_metrics.COMMON,
    *,
    people: Mapping[str, Sequence[targets.Box]] | None = None,
    jobs: int = 1,
    progress: Callable[[Iterator[object], int], Iterator[object]] | None = None,
) -> Scores:
    """Score every fused picture that has a visible and a thermal partner of its name.

    `people` are boxes by picture name for the SCR metrics; `jobs` is the number of processes; `progress` wraps
    the iterator of results and is told how many there will be (e.g. tqdm). Raises :class:`InputError` for a
    missing or empty folder; what is wrong with single pictures is in `Scores.skipped`.
    """
    if people is None and set(metrics) & set(catalogue.TARGETS):
        raise InputError("the target metrics (SCR) need the boxes of people: give --labels FILE")
    matches = folders.match({"visible": visible, "thermal": thermal, "fused": fused})
    work = [
        Job(name, **paths, metrics=tuple(metrics), people=tuple((people or {}).get(name, ())))
        for name, paths in matches.complete.items()
    ]
    results: Iterator[object] = _results(work, min(jobs, -(-len(work) // _PICTURES_PER_WORKER)))
    if progress:
        results = progress(results, len(work))
    scores = Scores(skipped=list(matches.skipped))
    for job, result in zip(work, results, strict=True):
        if isinstance(result, dict):
            scores.per_image[job.name] = result
        else:
            scores.skipped.append(Skipped(job.name, str(result)))
    scores.skipped.sort(key=lambda item: item.name)
    return scores


def _results(work: Sequence[Job], workers: int) -> Iterator[object]:
    if workers <= 1:
        yield from map(_attempt, work)
        return
    with WorkerPool(workers, cv2.setNumThreads, (1,)) as pool:  # the workers are the parallelism
        yield from pool.map(_attempt, work)


def _attempt(job: Job) -> dict[str, float] | str:
    try:
        return score_job(job)
    except InputError as error:
        return " ".join(str(error).split())
