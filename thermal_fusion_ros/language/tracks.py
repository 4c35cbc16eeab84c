"""Which object of one moment is which of the moment before, so that a caption does not flicker."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from thermal_fusion_ros.language.scene import SeenObject

SURE = 0.6  # objects scored at least so are believed at first sight, others when seen twice
HOLD_S = 1.5  # an object is spoken of this long after it was last seen, unless it left the picture
EDGE = 0.02  # of the picture's width: boxes that come so close to a side may be leaving
GAP_S = 5.0  # after a longer silence everything is new
BEARING_GATE_DEG, DISTANCE_GATE = 8.0, 1.6  # how much a tracked object may have moved
JUMP = 1.08  # distances that differ by this factor are followed at once, smaller differences are smoothed
SMOOTH_S = 1.0


@dataclass
class Track:
    """One object through time: smoothed measures, and the words it was last described with (by the captioner)."""

    number: int
    label: str
    seen: SeenObject
    distance: float | None
    bearing_deg: float
    heat: float
    last_s: float
    sightings: int = 1
    believed: bool = False
    speed_px: float = 0.0  # of the box's middle, to the right, per second
    bins: dict[str, int] = field(default_factory=dict)

    def follow(self, seen: SeenObject, now_s: float, jump: bool) -> None:
        """Take in a new sighting; `jump`: this may well be another object, so keep nothing of the old measures."""
        share = 1.0 if jump else 1 - math.exp(-max(now_s - self.last_s, 0.0) / SMOOTH_S)
        new = seen.distance
        if new is None or self.distance is None or _ratio(new, self.distance) > JUMP:
            self.distance = new
        else:
            self.distance += share * (new - self.distance)
        if seen.metric != self.seen.metric:
            self.distance = new
        self.bearing_deg += share * (seen.bearing_deg - self.bearing_deg)
        self.heat += share * (seen.heat - self.heat)
        if now_s > self.last_s:
            moved = (seen.box[0] + seen.box[2] - self.seen.box[0] - self.seen.box[2]) / 2
            self.speed_px = 0.0 if jump else moved / (now_s - self.last_s)
        self.seen, self.last_s, self.sightings = seen, now_s, self.sightings + 1

    def stays(self, now_s: float, width: int | None) -> bool:
        """Whether an object not seen at `now_s` is probably still there, and was only missed."""
        if now_s == self.last_s:
            return True
        if not self.believed or self.sightings < 2 or now_s - self.last_s > HOLD_S:
            return False
        if width is None:
            return True
        x0, _, x1, _ = self.seen.box
        ahead = self.speed_px * (now_s - self.last_s)
        left, right = EDGE * width, (1 - EDGE) * width
        return left < min(x0, x0 + ahead) and max(x1, x1 + ahead) < right


class Tracker:
    """Tracks of every object; deterministic in the sequence of its inputs."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tracks: list[Track] = []
        self._count = 0
        self._now_s: float | None = None

    def update(self, objects: Sequence[SeenObject], now_s: float, width: int | None = None) -> list[Track]:
        """The objects to speak of at `now_s`; `width` of the picture in pixels."""
        if self._now_s is None or not 0 <= now_s - self._now_s <= GAP_S:
            self.reset()
        first, self._now_s = self._now_s is None, now_s
        free = list(range(len(objects)))
        waiting = list(self._tracks)
        # First what has hardly moved; then what is as far as before, as the robot may have turned; at last any sure
        # object of the kind: a count is kept rather than doubled.
        for tolerance in (_near_by, _as_far, _sure):
            for _, number, index in sorted(_candidates(waiting, objects, free, tolerance)):
                track = next((t for t in waiting if t.number == number), None)
                if track is None or index not in free:
                    continue
                track.follow(objects[index], now_s, jump=tolerance is not _near_by)
                waiting.remove(track)
                free.remove(index)
        for index in free:
            seen = objects[index]
            self._count += 1
            self._tracks.append(
                Track(self._count, seen.label, seen, seen.distance, seen.bearing_deg, seen.heat, now_s)
            )
        self._tracks = [t for t in self._tracks if t.stays(now_s, width)]
        for track in self._tracks:
            track.believed = track.believed or first or track.sightings > 1 or track.seen.score >= SURE
        return [t for t in self._tracks if t.believed]


def _near_by(turn: float, change: float, seen: SeenObject) -> bool:
    return turn <= 1 and change <= 1


def _as_far(turn: float, change: float, seen: SeenObject) -> bool:
    return change <= 1


def _sure(turn: float, change: float, seen: SeenObject) -> bool:
    return seen.score >= SURE


def _candidates(
    tracks: Iterable[Track],
    objects: Sequence[SeenObject],
    free: Iterable[int],
    tolerance: Callable[[float, float, SeenObject], bool],
) -> Iterator[tuple[float, int, int]]:
    """(cost, track number, object index) of every pair that may be one object.

    Turn and change are in units of what a tracked object may do between two moments.
    """
    indices = list(free)
    for track in tracks:
        for index in indices:
            seen = objects[index]
            if seen.label != track.label:
                continue
            turn = abs(seen.bearing_deg - track.bearing_deg) / BEARING_GATE_DEG
            new, old, change = seen.distance, track.distance, 0.0
            if new is not None and old is not None and seen.metric == track.seen.metric:
                change = math.log(_ratio(new, old)) / math.log(DISTANCE_GATE)
            if tolerance(turn, change, seen):
                yield turn + change, track.number, index


def _ratio(a: float, b: float) -> float:
    return max(a, b) / max(min(a, b), 1e-6)
