"""Metrics of a depth image against the truth, metric or up to scale and shift; ordinal ones: `ordinal_depth`.

Depth is along the optical axis, larger is farther; metres in the truth. The truth's pixels that are NaN, infinite or
not positive are invalid (REP-118) and never counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermal_fusion_ros.errors import InputError

Alignment = Literal["none", "scale", "scale_shift", "inverse_scale_shift"]
Missing = Literal["refuse", "exclude"]
Values = NDArray[np.float64]

METRICS = ("AbsRel", "SqRel", "RMSE", "RMSE_log", "SILog", "delta1", "delta2", "delta3", "coverage")
_NEAREST = 1e-3  # metres; an aligned depth may come out negative, which logarithms and ratios don't take
_LEAST_FOR_ALIGNMENT = {"none": 1, "scale": 1, "scale_shift": 2, "inverse_scale_shift": 2}


def score_depth(
    predicted: ArrayLike,
    truth: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    alignment: Alignment = "none",
    missing: Missing = "refuse",
) -> dict[str, float]:
    """Depth errors over the valid pixels of `truth` (H, W), within `mask` (H, W) if given.

    With p the prediction, t the truth, d = ln p - ln t:
    AbsRel = mean |p - t| / t; SqRel = mean (p - t)^2 / t, metres; RMSE, metres; RMSE_log = sqrt(mean d^2);
    SILog = sqrt(mean d^2 - (mean d)^2); delta_k = share with max(p/t, t/p) < 1.25^k; coverage = share of the valid
    pixels that have a prediction.

    `alignment` fits the prediction to the truth first (see :func:`align`). `missing` says what becomes of valid pixels
    without a usable prediction (NaN, infinite, 0 unless shifted in depth, negative unless shifted): `refuse` raises,
    because leaving them out favours a method that doesn't answer; `exclude` leaves them out and lowers the coverage.

    Raises :class:`InputError` for unequal shapes, no valid pixel, and missing predictions when refused.

    Eigen, Puhrsch, Fergus: Depth map prediction from a single image using a multi-scale deep network. NIPS 2014.
    """
    p, t, coverage = _valid(predicted, truth, mask, missing, alignment)
    p = _aligned(p, t, alignment)
    error = p - t
    log_error = np.log(p) - np.log(t)
    ratio = np.maximum(p / t, t / p)
    spread = float((log_error**2).mean() - log_error.mean() ** 2)
    return {
        "AbsRel": float((np.abs(error) / t).mean()),
        "SqRel": float((error**2 / t).mean()),
        "RMSE": float(np.sqrt((error**2).mean())),
        "RMSE_log": float(np.sqrt((log_error**2).mean())),
        "SILog": float(np.sqrt(max(spread, 0.0))),
        **{f"delta{k}": float((ratio < 1.25**k).mean()) for k in (1, 2, 3)},
        "coverage": coverage,
    }


def align(
    predicted: ArrayLike,
    truth: ArrayLike,
    mask: ArrayLike | None = None,
    alignment: Alignment = "scale_shift",
) -> Values:
    """The prediction (H, W), fitted to the truth over its valid pixels; NaN where the prediction is not finite.

    `scale`: times the median of t / p (Zhou et al., CVPR 2017). `scale_shift`: a p + b by least squares in depth.
    `inverse_scale_shift`: 1 / (a / p + b) by least squares in inverse depth (Ranftl et al., MiDaS, TPAMI 2022).
    Results nearer than 1 mm, also behind the camera, become 1 mm.
    """
    p, t, _ = _valid(predicted, truth, mask, "exclude", alignment)
    fit = _fit(p, t, alignment)
    whole = np.asarray(predicted, dtype=np.float64)
    return np.where(np.isfinite(whole), fit.apply(whole), np.nan)


@dataclass(frozen=True)
class _Fit:
    scale: float
    shift: float
    inverse: bool

    def apply(self, depth: Values) -> Values:
        if self.inverse:
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = self.scale / depth + self.shift
                fitted = np.where(inverse > 0.0, 1.0 / inverse, np.inf)
            # Beyond infinity means behind every surface: as far as a float32 depth image can say.
            return np.clip(np.nan_to_num(fitted, posinf=1.0 / _NEAREST**2), _NEAREST, None)
        return np.maximum(self.scale * depth + self.shift, _NEAREST)


def _aligned(p: Values, t: Values, alignment: Alignment) -> Values:
    return p if alignment == "none" else _fit(p, t, alignment).apply(p)


def _fit(p: Values, t: Values, alignment: Alignment) -> _Fit:
    if alignment not in _LEAST_FOR_ALIGNMENT:
        raise InputError(f"alignment {alignment!r} is not one of {', '.join(_LEAST_FOR_ALIGNMENT)}")
    if alignment == "none":
        return _Fit(1.0, 0.0, inverse=False)
    if alignment == "scale":
        return _Fit(float(np.median(t / p)), 0.0, inverse=False)
    inverse = alignment == "inverse_scale_shift"
    x, y = (1.0 / p, 1.0 / t) if inverse else (p, t)
    centred = x - x.mean()
    variance = float(centred @ centred)
    # A constant prediction fits any scale; the best constant is the mean.
    scale = float(centred @ y) / variance if variance > 1e-12 * float(x @ x) else 0.0
    return _Fit(scale, float(y.mean() - scale * x.mean()), inverse)


def _valid(
    predicted: ArrayLike, truth: ArrayLike, mask: ArrayLike | None, missing: Missing, alignment: Alignment
) -> tuple[Values, Values, float]:
    p, t = _floats(predicted, "predicted depth"), _floats(truth, "true depth")
    valid = np.isfinite(t) & (t > 0.0)
    _same_shape("predicted depth", p, "true depth", t)
    if mask is not None:
        chosen = np.asarray(mask)
        if chosen.dtype != np.bool_:
            raise InputError(f"mask: type {chosen.dtype}; give booleans")
        _same_shape("mask", chosen, "true depth", t)
        valid &= chosen
    count = int(np.count_nonzero(valid))
    if count == 0:
        raise InputError(
            "true depth: no valid pixel (finite, positive, inside the mask), so nothing can be scored"
        )
    usable = valid & np.isfinite(p)
    if alignment == "inverse_scale_shift":
        usable &= p != 0.0  # which has no inverse
    elif alignment != "scale_shift":
        usable &= p > 0.0
    found = int(np.count_nonzero(usable))
    if missing == "refuse" and found < count:
        raise InputError(
            f"predicted depth: {count - found} of {count} valid pixels have no finite, positive prediction; "
            "mend them, or leave them out with missing='exclude'"
        )
    if found == 0:
        raise InputError("predicted depth: no valid pixel has a finite, positive prediction")
    return p[usable], t[usable], found / count


def _floats(image: ArrayLike, name: str) -> Values:
    array = np.asarray(image)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{name}: type {array.dtype} is not a number")
    return array.astype(np.float64)


def _same_shape(first_name: str, first: NDArray[Any], second_name: str, second: NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise InputError(
            f"{first_name} has shape {first.shape}, {second_name} {second.shape}; they must be equal"
        )
