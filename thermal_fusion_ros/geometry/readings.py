"""What a source of metric scale says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """metres = exp(`log_scale`) · relative depth; `sigma` is the standard error of `log_scale`."""

    log_scale: float
    sigma: float
