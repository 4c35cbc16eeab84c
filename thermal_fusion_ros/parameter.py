"""What one parameter is: its name, default, unit, range and help, and what it makes of a value that it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from thermal_fusion_ros.errors import InputError

Value = bool | int | float | str


@dataclass(frozen=True)
class Spec:
    """What a parameter means and accepts."""

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False  # may change while the node is active


@dataclass(frozen=True)
class Parameter:
    """One leaf of :class:`Config`, by its dotted name."""

    name: str
    default: Value
    spec: Spec

    @property
    def type(self) -> type:
        """The Python type of every value of this parameter."""
        return type(self.default)

    def check(self, value: Any) -> Any:
        """Return `value` as this parameter's type, or raise :class:`InputError` naming the remedy."""
        wanted = self.type
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise InputError(f"{self.name}: {value!r} is not a {wanted.__name__} (default: {self.default!r})")
        spec = self.spec
        if spec.choices and value not in spec.choices:
            raise InputError(f"{self.name}: {value!r} is not one of {', '.join(spec.choices)}")
        if isinstance(value, (int, float)) and wanted is not bool:
            if not math.isfinite(value):
                raise InputError(f"{self.name}: {value!r} is not finite (default: {self.default!r})")
            low = -math.inf if spec.low is None else spec.low
            high = math.inf if spec.high is None else spec.high
            if not low <= value <= high:
                raise InputError(
                    f"{self.name}: {value!r} is outside [{low:g}, {high:g}] {spec.unit}".rstrip()
                )
        return value

    def parse(self, text: str) -> Value:
        """Read a value typed on a command line."""
        if self.type is bool:
            words = {"true": True, "1": True, "on": True, "yes": True}
            words |= {"false": False, "0": False, "off": False, "no": False}
            if text.lower() not in words:
                raise InputError(f"{self.name}: {text!r} is not true or false")
            return words[text.lower()]
        try:
            value: Value = self.check(self.type(text))
            return value
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.name}: {text!r} is not a {self.type.__name__}") from error


def param(
    default: Value,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """A dataclass field that carries its own documentation and limits."""
    return field(default=default, metadata={"spec": Spec(help, unit, low, high, choices, live)})


def range_text(spec: Spec) -> str:
    """What a parameter accepts, for people."""
    if spec.choices:
        return " | ".join(spec.choices)
    if spec.low is not None or spec.high is not None:
        low = "-inf" if spec.low is None else f"{spec.low:g}"
        high = "inf" if spec.high is None else f"{spec.high:g}"
        return f"{low} … {high}" + (f" {spec.unit}" if spec.unit else "")
    return spec.unit
