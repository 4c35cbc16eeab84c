"""The words whose guidance codes are baked into a checkpoint, and prompts made of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

# Everyday words -> the vocabulary's noun. Plurals are handled by rule.
SYNONYMS = {
    word: noun
    for noun, words in {
        "person": "people human humanity man men woman women pedestrian child children kid boy girl baby adult worker "
        "victim casualty survivor walker passer-by passerby bystander someone somebody folk crowd hiker "
        "officer soldier firefighter guy lady passenger driver",
        "car": "automobile auto vehicle taxi cab sedan hatchback suv van minivan estate convertible",
        "truck": "lorry pickup hgv tanker trailer",
        "bus": "coach minibus omnibus",
        "motorcycle": "motorbike scooter moped motorcyclist",
        "bicycle": "bike cycle cyclist rider pushbike",
        "traffic light": "stoplight semaphore",
        "dog": "puppy hound doggy",
        "cat": "kitten kitty",
        "street light": "streetlight streetlamp lamppost",
        "boat": "ship vessel",
    }.items()
    for word in words.split()
} | {"traffic signal": "traffic light", "stop light": "traffic light", "street lamp": "street light"}
COMMON = (
    "person",
    "car",
    "truck",
    "bus",
    "motorcycle",
    "bicycle",
    "traffic light",
    "dog",
    "boat",
)  # named in refusals
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
        known = self._rows
        words = re.findall(r"[a-z0-9'-]+", prompt.lower())
        found: dict[str, float] = {}
        unknown: list[str] = []
        i = 0
        while i < len(words):
            for length in (3, 2, 1):
                phrase = " ".join(words[i : i + length])
                if i + length > len(words):
                    continue
                one = singular(phrase)
                candidates = (
                    phrase,
                    one,
                    SYNONYMS.get(phrase),
                    SYNONYMS.get(one),
                    self._joined.get(one.replace("-", "")),
                )
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
            raise InputError(self._refusal(unknown, prompt))
        return {name: 1 / len(found) for name in found}

    def mix(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Guidance code (64,): the sum of the nouns' codes times their weights. Nouns it does not know add nothing."""
        total = np.zeros(self.codes.shape[1], np.float32)
        for name, weight in weights.items():
            if name in self._rows:
                total += np.float32(weight) * self.codes[self._rows[name]]
        return total

    def code(self, prompt: str) -> NDArray[np.float32]:
        """Guidance code (64,) of a prompt: the mean of its nouns' codes; zeros for an empty prompt."""
        return self.mix(self.parse(prompt))

    def closest(self, word: str) -> list[str]:
        """Up to three known words that are spelt like `word`."""
        synonyms = (synonym for synonym, noun in SYNONYMS.items() if noun in self._rows)
        return difflib.get_close_matches(singular(word.lower()), (*self.names, *synonyms), n=3, cutoff=0.75)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def _joined(self) -> dict[str, str]:
        """`firetruck` (and so `fire-truck`) -> `fire truck`."""
        return {name.replace(" ", ""): name for name in self.names if " " in name}

    def _refusal(self, unknown: list[str], prompt: str) -> str:
        """What is not known, what is, and how to have it known."""
        what = ", ".join(f"`{word}`" for word in unknown) or f"`{prompt}`"
        close = dict.fromkeys(name for word in unknown for name in self.closest(word))
        hint = f"closest: {', '.join(close)}; " if close else ""
        common = ", ".join(word for word in COMMON if word in self._rows)
        return (
            f"prompt: {what} not in the vocabulary of this checkpoint ({hint}it has {len(self.names)} nouns, among "
            f"them {common}); free text needs CLIP weights: pip install open_clip_torch and set language.clip_weights"
        )


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
