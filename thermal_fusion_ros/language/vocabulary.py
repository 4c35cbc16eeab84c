"""The words whose guidance codes are baked into a checkpoint, and prompts made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

# Everyday words -> the vocabulary's noun. Plurals are handled by rule.
SYNONYMS = {
    "people": "person", "human": "person", "man": "person", "men": "person", "woman": "person", "women": "person",
    "pedestrian": "person", "child": "person", "children": "person", "worker": "person", "victim": "person",
    "walker": "person", "cyclist": "bicycle", "rider": "bicycle", "automobile": "car", "vehicle": "car",
    "taxi": "car", "lorry": "truck", "bike": "bicycle", "motorbike": "motorcycle", "scooter": "motorcycle",
    "traffic signal": "traffic light", "stoplight": "traffic light", "street lamp": "street light",
    "puppy": "dog", "coach": "bus",
}  # fmt: skip
FILLERS = frozenset(
    """a an the and or of with in on at to near for all any every each please show find look highlight me only
    left right ahead front behind warm hot cold bright dark
    one two three four five six seven eight nine ten several many some few""".split()
)


def clean(noun: str) -> str:
    """A table's noun as people write it: ``bus_(vehicle)`` -> ``bus``, ``Street Lights`` -> ``street light``."""
    word = re.sub(r"_?\(.*?\)", "", noun).replace("_", " ").lower().split("/")[0].strip()
    return singular(word)


def singular(word: str) -> str:
    """English plural -> singular, by the regular rules, where the result is not cut to nonsense."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@dataclass(frozen=True)
class Vocabulary:
    """`names` and, row by row, their guidance `codes` (N×64 float32)."""

    names: tuple[str, ...]
    codes: NDArray[np.float32]

    def parse(self, prompt: str) -> dict[str, float]:
        """The vocabulary nouns a prompt names, with weights that sum to 1; empty for an empty prompt.

        Words without a meaning of their own (articles, numbers, "highlight", ...) are skipped; any other unknown word
        raises :class:`InputError` that says what is known.
        """
        known = set(self.names)
        words = re.findall(r"[a-z0-9'-]+", prompt.lower())
        found: dict[str, float] = {}
        unknown: list[str] = []
        i = 0
        while i < len(words):
            for length in (3, 2, 1):
                phrase = " ".join(words[i : i + length])
                if i + length > len(words):
                    continue
                candidates = (phrase, singular(phrase), SYNONYMS.get(phrase), SYNONYMS.get(singular(phrase)))
                name = next((c for c in candidates if c in known), None)
                if name is not None:
                    found[name] = 1.0
                    i += length
                    break
            else:
                if words[i] not in FILLERS and not words[i].isdigit():
                    unknown.append(words[i])
                i += 1
        if unknown or (words and not found):
            what = ", ".join(f"`{w}`" for w in unknown) or f"`{prompt}`"
            raise InputError(
                f"prompt: {what} not in the vocabulary of this checkpoint ({len(known)} nouns, among them person, car, "
                "truck, bus, motorcycle, bicycle, traffic light, dog, boat); free text needs CLIP weights"
            )
        return {name: 1 / len(found) for name in found}

    def code(self, prompt: str) -> NDArray[np.float32]:
        """Guidance code (64,) of a prompt: the weighted sum of its nouns' codes; zeros for an empty prompt."""
        total = np.zeros(self.codes.shape[1], np.float32)
        for name, weight in self.parse(prompt).items():
            total += weight * self.codes[self.names.index(name)]
        return total


def load_nouns(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Names and raw CLIP text vectors (N×512) of every ``*_nouns.npz`` in `folder`; the first table's word wins."""
    names: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("*_nouns.npz"), reverse=True):
        table = np.load(path)
        for noun, vector in zip(table["names"], table["vectors"], strict=True):
            names.setdefault(clean(str(noun)), vector.astype(np.float32))
    if not names:
        raise InputError(f"{folder}: no *_nouns.npz tables of CLIP text vectors")
    return list(names), np.stack(list(names.values()))
