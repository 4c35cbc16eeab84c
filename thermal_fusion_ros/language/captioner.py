"""What the robot sees in plain English: "night, smoke; two people 6 m ahead to the left, warm; a car 15 m to the right"

Deterministic in the sequence of scenes it is given. Every word is held until what it says is clearly no longer so, and
objects are followed from scene to scene, so noise does not make the text flicker. A stated distance is within 15 % of
the measured distance of every object it stands for: 9 % by rounding and holding, the rest by grouping. One that is not
measured well enough is not stated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thermal_fusion_ros.language.scene import Scene
from thermal_fusion_ros.language.steadiness import spoken, sticky_bin, sticky_number
from thermal_fusion_ros.language.tracks import Track, Tracker
from thermal_fusion_ros.language.visibility import AIR, LIGHT, Visibility

MAX_PHRASES, MAX_WORDS = 5, 60
PLURALS = {"person": "people", "bus": "buses"}
NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LIGHT_WORDS = {"day": "daylight", "dusk": "dusk", "night": "night"}

SIDES = ("to the right", "ahead to the right", "ahead", "ahead to the left", "to the left")
SIDE_EDGES_DEG, SIDE_MARGIN_DEG = (-22.0, -6.0, 6.0, 22.0), 2.5
WARM, WARM_MARGIN = 0.12, 0.04  # of the thermal display's range, above the surroundings
HOT_K, HOT_MARGIN_K = 333.0, 3.0  # burns
# Relative uncertainty of a distance. From ABOUT on it is said to be one; from NO_METRES on more than one in twenty
# stated ones would be 15 % off (on pictures of unseen worlds; of training worlds, one in thirty), and none is stated.
ABOUT, ABOUT_MARGIN = 0.07, 0.01
NO_METRES, NO_METRES_MARGIN = 0.08, 0.01
NEAR_FAR, NEAR_FAR_MARGIN = (0.6, 1.8), 0.15  # of the picture's median depth
TOGETHER, TOGETHER_MARGIN = (
    1.8,
    0.2,
)  # objects of a kind whose distances differ by a smaller factor share a phrase
ONE_NUMBER, ONE_NUMBER_MARGIN = 1.08, 0.02  # a smaller spread is stated as one distance
COARSENESS = 0.1  # of a stated distance: largest step, share of it

SAY_LIGHT, SAY_AIR, SAY_EITHER = 0.65, 0.65, 0.7  # probability that a word needs; it stays while above KEEP
KEEP = 0.45
LOOK_S, WEIGHT_S = 1.5, 1.0  # time constants of scene words and weights
SWAP = 1.25  # a phrase moves forward only when it matters this much more than the one before it


@dataclass(frozen=True, slots=True)
class Phrase:
    """`text` about `count` objects of the kind `noun` (a word of the vocabulary); `weight` 0..1 of guidance.

    `distances_m` are the metres stated: none, one, or nearest and farthest. `boxes` are the objects' boxes, as last
    seen.
    """

    noun: str
    text: str
    weight: float
    count: int
    distances_m: tuple[float, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Caption:
    """The whole sentence and its parts, most important phrase first. `light` and `air` are empty where unsure.

    `nouns` are weights that change slowly: guidance is the sum of their words' codes. They sum to 1, less while objects
    come into or go out of sight.
    """

    stamp_ns: int
    text: str
    phrases: tuple[Phrase, ...]
    light: str
    air: str
    nouns: Mapping[str, float]


@dataclass
class _Group:
    """Objects spoken of in one phrase."""

    number: int
    members: list[Track]
    side: int
    near: int | None
    stated: tuple[float, ...] = ()
    bins: dict[str, int] | None = None
    weight: float = 0.0


class Captioner:
    """Call it with one scene after the other, at any rate. Used by one thread at a time."""

    def __init__(self, max_phrases: int = MAX_PHRASES, max_words: int = MAX_WORDS) -> None:
        self._max_phrases, self._max_words = max_phrases, max_words
        self._tracker = Tracker()
        self.reset()

    def reset(self) -> None:
        """Forget earlier scenes: a new recording, or the clock jumped."""
        self._tracker.reset()
        self._groups: list[_Group] = []
        self._count = 0
        self._now_s: float | None = None
        self._light: list[float] | None = None
        self._air: list[float] | None = None
        self._light_word = self._air_word = ""
        self._nouns: dict[str, float] = {}

    def __call__(self, scene: Scene) -> Caption:
        """The caption of `scene`."""
        now_s = scene.stamp_ns * 1e-9
        if self._now_s is not None and now_s < self._now_s:
            self.reset()
        elapsed = math.inf if self._now_s is None else now_s - self._now_s
        self._now_s = now_s
        self._see_air(scene.visibility, elapsed)
        tracks = self._tracker.update(scene.objects, now_s, scene.width)
        for track in tracks:
            _describe(track, scene.median_depth)
        groups = self._order(self._group(tracks))
        phrases = [self._phrase(group) for group in groups[: self._max_phrases]]
        beginning = ", ".join(word for word in (self._light_word, self._air_word) if word)
        text = _sentence(beginning, phrases, len(tracks))
        while len(text.split()) > self._max_words and phrases:
            phrases.pop()
            text = _sentence(beginning, phrases, len(tracks))
        self._groups = groups
        self._weigh(phrases, elapsed)
        return Caption(
            scene.stamp_ns, text, tuple(phrases), self._light_word, self._air_word, dict(self._nouns)
        )

    def _see_air(self, visibility: Visibility | None, elapsed: float) -> None:
        """Smooth the probabilities and choose words."""
        if visibility is None:
            self._light = self._air = None
            self._light_word = self._air_word = ""
            return
        share = 1 - math.exp(-elapsed / LOOK_S)
        self._light = _towards(self._light, visibility.light, share)
        self._air = _towards(self._air, visibility.air, share)
        light = {LIGHT_WORDS[name]: p for name, p in zip(LIGHT, self._light, strict=True)}
        air = dict(zip(AIR, self._air, strict=True))
        air["smoke or fog"] = air["smoke"] + air["fog"]
        clear = air.pop("clear")
        self._light_word = _word(light, self._light_word, SAY_LIGHT)
        # The single words come first: "smoke or fog" is likelier than either by construction.
        if clear >= 1 - KEEP:
            self._air_word = ""
        else:
            both = air.pop("smoke or fog")
            self._air_word = _word(air, self._air_word, SAY_AIR) or (
                "smoke or fog" if both >= (KEEP if self._air_word else SAY_EITHER) else ""
            )

    def _group(self, tracks: Sequence[Track]) -> list[_Group]:
        """Tracks of a kind, on one side, at distances that follow closely upon each other."""
        kinds: dict[tuple[str, int, int], list[Track]] = {}
        for track in tracks:
            kinds.setdefault((track.label, track.bins["side"], track.bins.get("near", -1)), []).append(track)
        before = {t.number: group for group in self._groups for t in group.members}
        taken: set[int] = set()
        groups = []
        for (_, side, near), members in kinds.items():
            members.sort(key=lambda t: (math.inf if t.distance is None else t.distance, t.number))
            parts = [[members[0]]]
            for one, other in itertools.pairwise(members):
                together = one.number in before and before[one.number] is before.get(other.number)
                if _apart(one, other, TOGETHER + (TOGETHER_MARGIN if together else 0)):
                    parts.append([])
                parts[-1].append(other)
            for part in parts:
                groups.append(self._continued(part, side, None if near < 0 else near, before, taken))
        return groups

    def _continued(
        self, members: list[Track], side: int, near: int | None, before: Mapping[int, _Group], taken: set[int]
    ) -> _Group:
        """The group that most members come from, with what it said; a new one if that is taken."""
        old = [
            before[t.number] for t in members if t.number in before and before[t.number].number not in taken
        ]
        if old:
            parent = max(old, key=lambda g: (sum(o is g for o in old), -g.number))
            taken.add(parent.number)
            group = _Group(parent.number, members, side, near, parent.stated, parent.bins)
        else:
            self._count += 1
            group = _Group(self._count, members, side, near)
        group.weight = sum(_matters(t) for t in members)
        return group

    def _order(self, groups: list[_Group]) -> list[_Group]:
        """Most important first; the order of the last caption stays where the difference is small."""
        rank = {group.number: i for i, group in enumerate(self._groups)}
        ordered = sorted((g for g in groups if g.number in rank), key=lambda g: rank[g.number])
        for group in sorted((g for g in groups if g.number not in rank), key=lambda g: (-g.weight, g.number)):
            place = next((i for i, g in enumerate(ordered) if group.weight > g.weight), len(ordered))
            ordered.insert(place, group)
        for _ in ordered:
            for i in range(len(ordered) - 1):
                if ordered[i + 1].weight > SWAP * ordered[i].weight:
                    ordered[i], ordered[i + 1] = ordered[i + 1], ordered[i]
        return ordered

    def _phrase(self, group: _Group) -> Phrase:
        label, count = group.members[0].label, len(group.members)
        noun = f"{NUMBERS[count] if count < len(NUMBERS) else count} "
        noun += label if count == 1 else PLURALS.get(label, f"{label}s")
        words = [noun]
        group.stated = self._distances(group)
        if group.stated:
            about = any(t.bins["about"] for t in group.members)
            words.append(("about " if about else "") + " to ".join(spoken(d) for d in group.stated) + " m")
        elif group.near is not None and group.near != 1:
            words.append("near," if group.near == 0 else "far,")
        text = f"{' '.join(words)} {SIDES[group.side]}"
        hot = sum(t.bins["hot"] for t in group.members)
        warm = sum(t.bins["warm"] for t in group.members)
        if 2 * hot >= count:
            text += ", hot"
        elif 2 * warm >= count:
            text += ", warm"
        boxes = tuple(t.seen.box for t in group.members)
        return Phrase(label, text, group.weight, count, group.stated, boxes)

    def _distances(self, group: _Group) -> tuple[float, ...]:
        """Metres to state, held from the last caption where they still fit."""
        if not all(t.bins["metres"] for t in group.members):
            return ()
        known = [t.distance for t in group.members if t.distance is not None]
        low, high = min(known), max(known)
        old = group.stated
        group.bins = {
            "spread": sticky_bin(
                high / low, (ONE_NUMBER,), (group.bins or {}).get("spread"), ONE_NUMBER_MARGIN
            )
        }
        if not group.bins["spread"]:
            return (sticky_number(math.sqrt(low * high), old[0] if len(old) == 1 else None, COARSENESS),)
        ends = old if len(old) == 2 else (None, None)
        stated = tuple(sticky_number(v, e, COARSENESS) for v, e in zip((low, high), ends, strict=True))
        return stated if stated[0] < stated[1] else stated[:1]

    def _weigh(self, phrases: list[Phrase], elapsed: float) -> None:
        """Weights of the phrases that sum to 1, and those of their nouns, smoothed."""
        total = sum(p.weight for p in phrases)
        now: dict[str, float] = {}
        for i, p in enumerate(phrases):
            phrases[i] = Phrase(p.noun, p.text, p.weight / total, p.count, p.distances_m, p.boxes)
            now[p.noun] = now.get(p.noun, 0.0) + p.weight / total
        share = 1 - math.exp(-elapsed / WEIGHT_S)
        self._nouns = {
            noun: weight
            for noun in sorted({*now, *self._nouns})
            if (weight := self._nouns.get(noun, 0.0) * (1 - share) + now.get(noun, 0.0) * share) > 0.01
        }


def _describe(track: Track, median_depth: float | None) -> None:
    """Choose this object's words, holding the last ones where they nearly fit."""
    bins, seen = track.bins, track.seen
    bins["side"] = sticky_bin(track.bearing_deg, SIDE_EDGES_DEG, bins.get("side"), SIDE_MARGIN_DEG)
    bins["warm"] = sticky_bin(track.heat, (WARM,), bins.get("warm"), WARM_MARGIN)
    kelvin = seen.temperature_k
    bins["hot"] = 0 if kelvin is None else sticky_bin(kelvin, (HOT_K,), bins.get("hot"), HOT_MARGIN_K)
    bins["about"] = sticky_bin(seen.sigma, (ABOUT,), bins.get("about"), ABOUT_MARGIN)
    vague = sticky_bin(seen.sigma, (NO_METRES,), bins.get("vague"), NO_METRES_MARGIN)
    bins["vague"] = vague
    bins["metres"] = int(seen.metric and not vague and track.distance is not None)
    if bins["metres"] or track.distance is None or not median_depth or not math.isfinite(median_depth):
        bins.pop("near", None)
    else:
        share = track.distance / median_depth
        bins["near"] = sticky_bin(share, NEAR_FAR, bins.get("near"), NEAR_FAR_MARGIN)


def _matters(track: Track) -> float:
    """How much an object counts: near, large and warm things more."""
    if track.bins["metres"] and track.distance is not None:
        near = 1 / (1 + track.distance / 5.0)
    else:
        near = (0.7, 0.4, 0.15)[track.bins.get("near", 1)]
    return near * (0.5 + math.sqrt(track.seen.size)) * (1 + 2 * max(track.heat, 0.0))


def _apart(one: Track, other: Track, factor: float) -> bool:
    if not (one.bins["metres"] and other.bins["metres"]):
        return one.bins["metres"] != other.bins["metres"]
    assert one.distance is not None
    assert other.distance is not None
    return other.distance > factor * one.distance


def _sentence(beginning: str, phrases: Sequence[Phrase], objects: int) -> str:
    parts = [beginning] if beginning else []
    parts += [phrase.text for phrase in phrases]
    left = objects - sum(phrase.count for phrase in phrases)
    if left:
        parts.append(f"{left} more")
    elif not phrases:
        parts.append("nothing recognised")
    return "; ".join(parts)


def _word(probabilities: Mapping[str, float], previous: str, needed: float) -> str:
    """The previous word while it is likely enough, else the likeliest if that is likely enough, else none."""
    best = max(probabilities, key=lambda word: probabilities[word])
    if probabilities[best] >= needed:
        return best
    return previous if probabilities.get(previous, 0.0) >= KEEP else ""


def _towards(old: Sequence[float] | None, new: Sequence[float], share: float) -> list[float]:
    if old is None:
        return list(new)
    return [a + share * (b - a) for a, b in zip(old, new, strict=True)]
