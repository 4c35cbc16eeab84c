"""One pair of pictures: the transform that lays thermal structure on visible structure, and how sure that is.

Coarse: orientation fields correlated by FFT over shifts, for a grid of rotations and scales. Fine: the picture is cut
into blocks, each gets a small surface of correlation over displacement, and a transform is sought that climbs all
surfaces at once (damped Newton; surfaces are cubic splines). The scatter of the blocks' slopes at the summit gives the
standard error in pixels, so a picture with structure on one side only, or none, says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from thermal_fusion_ros.sensing.orientation_field import Field, cut_edges, orientation_field

Floats = NDArray[np.float64]
Gray = NDArray[np.uint8]

COARSE_WIDTH = 160
FINE_LEVELS = (
    (320, 4, 16),
    (640, 3, 32),
)  # width of the picture, reach of the surfaces, side of a block; pixels
PASSES = 2  # per level
MODELS = {"similarity": 4, "affine": 6, "homography": 8}
HYPOTHESES = 3  # of the coarse search that are refined
DISTINCT_PX = 2.5  # at the coarse width
NEWTON_STEPS = 15
MOST_DAMPING = 1e4
FLATTEST = 0.02  # least over largest curvature; real pairs have 0.07 and more
SMALLEST_STEP_PX = 2e-3
CONFIDENCE = (
    -5.1,
    12.0,
    -2.7,
)  # logistic weights of log error, agreement, 1: right and wrong pairs of the training set
CONFIDENCE_SIDE_PX = 640  # pictures are thought of this long, so that size does not matter


@dataclass(frozen=True)
class Search:
    """How far from the initial guess the coarse search looks."""

    shift: float = 0.08  # of the width
    rotation_deg: float = 4.0
    scale: float = 0.06


@dataclass(frozen=True)
class Alignment:
    """`matrix` 3×3 takes RGB pixels to thermal pixels.

    `error_px` is the standard error of that mapping (RMS over the picture, RGB pixels), `relative_error` the same as
    a share of the longer side, `agreement` the mean correlation of the fields in [-1, 1].
    """

    matrix: Floats
    error_px: float
    agreement: float
    relative_error: float

    @property
    def confidence(self) -> float:
        """Chance, roughly, that the mapping is right within a few pixels (logistic fit, see `CONFIDENCE`)."""
        if not np.isfinite(self.relative_error):
            return 0.0
        log_error = np.log(max(self.relative_error * CONFIDENCE_SIDE_PX, 1e-3))
        slope_error, slope_agreement, offset = CONFIDENCE
        return float(1 / (1 + np.exp(-(slope_error * log_error + slope_agreement * self.agreement + offset))))


def align(
    rgb: Gray,
    thermal: Gray,
    initial: Floats | None = None,
    *,
    model: str = "similarity",
    search: Search | None = Search(),
    levels: tuple[tuple[int, int, int], ...] = FINE_LEVELS,
) -> Alignment:
    """Align `thermal` (H'×W' uint8) with `rgb` (H×W uint8, grey) starting from `initial` (3×3, RGB to thermal).

    The default initial guess lays the whole thermal picture on the whole RGB picture. ``search=None`` skips the coarse
    search: for following an estimate that is known to be near.
    """
    guess = stretch(thermal.shape, rgb.shape) if initial is None else np.asarray(initial, np.float64)
    valid = cut_edges(thermal)
    guesses = [guess] if search is None else _coarse(rgb, thermal, valid, guess, search)
    found: list[Alignment] = []
    for level in levels:
        tried = [_climb(rgb, thermal, valid, guess, model, level) for guess in guesses]
        found = [max(tried, key=lambda result: result.agreement)]
        guesses = [found[0].matrix]
    return found[0]


def _climb(
    rgb: Gray, thermal: Gray, valid: Gray, guess: Floats, model: str, level: tuple[int, int, int]
) -> Alignment:
    """Refine `guess` at one level: (width of the picture, reach of the surfaces, side of a block)."""
    height, width = rgb.shape
    zoom = min(1.0, level[0] / max(height, width))
    scaled = _scaling(zoom)
    size = (round(width * zoom), round(height * zoom))
    field = orientation_field(_resized(rgb, size))
    error, agreement = np.inf, 0.0
    for _ in range(PASSES):
        warped, seen = _laid_over(thermal, valid, guess @ np.linalg.inv(scaled), size)
        surfaces = BlockSurfaces.between(field, orientation_field(warped, seen), *level[1:])
        step, error, agreement = surfaces.climb(model)
        guess = guess @ np.linalg.inv(scaled) @ step @ scaled
    return Alignment(guess / guess[2, 2], error / zoom, agreement, error / zoom / max(height, width))


def stretch(source_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> Floats:
    """3×3 that takes pixels of a picture of `target_shape` (H, W) to one of `source_shape` covering the same view."""
    sy, sx = source_shape[0] / target_shape[0], source_shape[1] / target_shape[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1.0]])


def _scaling(zoom: float) -> Floats:
    return np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2], [0, 0, 1.0]])


def _resized(image: Gray, size: tuple[int, int]) -> Gray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _nearest(image: Gray, size: tuple[int, int]) -> Gray:
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)


def _laid_over(thermal: Gray, valid: Gray, matrix: Floats, size: tuple[int, int]) -> tuple[NDArray, Gray]:
    """Thermal seen through `matrix` (target pixels to thermal pixels), and where it was seen."""
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if shrink > 1.5:  # smooth before sampling sparsely
        half = (max(1, round(thermal.shape[1] / shrink)), max(1, round(thermal.shape[0] / shrink)))
        matrix = np.linalg.inv(stretch(thermal.shape, (half[1], half[0]))) @ matrix
        thermal, valid = _resized(thermal, half), _nearest(valid, half)
    flags = cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(
        thermal, matrix, size, flags=cv2.INTER_LINEAR | flags, borderMode=cv2.BORDER_REPLICATE
    )
    seen = cv2.warpPerspective(valid, matrix, size, flags=cv2.INTER_NEAREST | flags, borderValue=0)
    return warped.astype(np.uint8, copy=False), seen.astype(np.uint8, copy=False)


def _coarse(rgb: Gray, thermal: Gray, valid: Gray, guess: Floats, search: Search) -> list[Floats]:
    """The best of all shifts, rotations and scales about `guess`: a few that differ, the best first."""
    height, width = rgb.shape
    zoom = COARSE_WIDTH / max(height, width)
    scaled = _scaling(zoom)
    size = (round(width * zoom), round(height * zoom))
    field = orientation_field(_resized(rgb, size))
    reach = max(2, round(search.shift * COARSE_WIDTH))
    padded = [scipy.fft.next_fast_len(edge + reach) for edge in field.shape]
    spectrum = scipy.fft.fft2(field, padded).conj()
    energy = scipy.fft.rfft2(np.abs(field) ** 2, padded).conj()
    ones = scipy.fft.rfft2(np.ones_like(energy, shape=field.shape, dtype=np.float32), padded).conj()
    rows, columns = (np.r_[-reach : reach + 1] % edge for edge in padded)
    peaks: list[tuple[float, Floats]] = []
    for rotation in _symmetric_steps(search.rotation_deg, 1.0):
        for scale in _symmetric_steps(search.scale, 0.02):
            turn = about_centre(size, 0, 0, rotation, 1 + scale)
            warped, seen = _laid_over(thermal, valid, guess @ np.linalg.inv(scaled) @ turn, size)
            other = orientation_field(warped, seen)
            inside = (seen > 0).astype(np.float32)
            product = scipy.fft.ifft2(scipy.fft.fft2(other, padded) * spectrum).real
            mine = scipy.fft.irfft2(scipy.fft.rfft2(inside, padded) * energy, padded)
            theirs = scipy.fft.irfft2(scipy.fft.rfft2(np.abs(other) ** 2, padded) * ones, padded)
            score = product / np.sqrt(np.maximum(mine * theirs, 1e-3 * mine.max() * theirs.max() + 1e-9))
            score = score[np.ix_(rows, columns)]
            row, column = np.unravel_index(score.argmax(), score.shape)
            shift = np.eye(3)
            shift[:2, 2] = column - reach, row - reach
            peaks.append((float(score[row, column]), turn @ shift))
    return [guess @ np.linalg.inv(scaled) @ turn @ scaled for turn in _distinct(peaks, size)]


def _distinct(peaks: list[tuple[float, Floats]], size: tuple[int, int]) -> list[Floats]:
    """The highest peaks that differ by more than a fine search would bridge."""
    corners = np.array([[0, 0, 1], [size[0], 0, 1], [0, size[1], 1], [*size, 1]], dtype=float)
    kept: list[Floats] = []
    for _, turn in sorted(peaks, key=lambda peak: -peak[0]):
        moved = corners @ turn.T
        if all(np.abs(moved - corners @ other.T).max(axis=1).mean() > DISTINCT_PX for other in kept):
            kept.append(turn)
        if len(kept) == HYPOTHESES:
            break
    return kept


def _symmetric_steps(limit: float, step: float) -> Floats:
    count = int(np.ceil(limit / step - 1e-9))
    return np.linspace(-limit, limit, 2 * count + 1) if count else np.zeros(1)


def about_centre(size: tuple[int, int], dx: float, dy: float, rotation_deg: float, scale: float) -> Floats:
    """3×3 similarity that turns and scales about the centre of a (width, height) picture, then shifts."""
    cosine, sine = scale * np.cos(np.radians(rotation_deg)), scale * np.sin(np.radians(rotation_deg))
    centre = (np.array(size) - 1) / 2
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre + np.array([dx, dy])
    return matrix


@dataclass
class BlockSurfaces:
    """Correlation of each block of one field with the other field, displaced by up to `reach` pixels.

    `values` (2·reach+1)×(2·reach+1)×N by (dy, dx, block); `centres` N×2 in pixels; `size` (width, height); `scale` is
    what the values of a perfect match would sum up to.
    """

    values: Floats
    centres: Floats
    reach: int
    size: tuple[int, int]
    scale: float

    def __post_init__(self) -> None:
        """Cubic spline coefficients, mirrored by one at the rim so that every cell has its 4×4 knots."""
        spline = ndimage.spline_filter1d(ndimage.spline_filter1d(self.values, 3, 0), 3, 1)
        self._coefficients = np.pad(spline, ((1, 1), (1, 1), (0, 0)), mode="reflect")

    @classmethod
    def between(cls, field: Field, other: Field, reach: int, block: int) -> BlockSurfaces:
        """Surfaces of `field` (H×W) against `other` (H×W)."""
        rows, columns = field.shape[0] // block, field.shape[1] // block
        shape = rows * block, columns * block
        side = 2 * reach + 1

        def per_block(values: NDArray) -> NDArray:
            return values.reshape(rows, block, columns, block).sum(axis=(1, 3))

        mine = field[: shape[0], : shape[1]]
        padded = np.pad(other, reach)
        padded_energy = np.abs(padded) ** 2
        own = per_block(np.abs(mine) ** 2)
        product = np.empty((side, side, rows, columns), np.float64)
        energy = np.empty_like(product)
        for row in range(side):
            for column in range(side):
                window = np.s_[row : row + shape[0], column : column + shape[1]]
                theirs = padded[window]
                product[row, column] = per_block(mine.real * theirs.real + mine.imag * theirs.imag)
                energy[row, column] = per_block(padded_energy[window])
        # Correlation coefficients, weighted by how much structure both have: between the sum of products, where one
        # hedge decides everything, and the mean of coefficients, where noise has a full vote.
        weight = np.sqrt(np.sqrt(own * energy.mean(axis=(0, 1))))
        surfaces = product / np.sqrt(energy * own + (0.05 * own.mean() + 1e-9) ** 2) * weight
        y, x = np.mgrid[:rows, :columns] * block + (block - 1) / 2
        return cls(
            surfaces.reshape(side, side, -1),
            np.stack([x.ravel(), y.ravel()], axis=1),
            reach,
            (field.shape[1], field.shape[0]),
            float(weight.sum()) + 1e-9,
        )

    def climb(self, model: str) -> tuple[Floats, float, float]:
        """(3×3 step in these pixels, standard error in these pixels, mean correlation) of the best transform."""
        basis = displacement_basis(model, self.centres, self.size)
        pooled = self._coefficients[1:-1, 1:-1].sum(axis=2)  # whole displacements, slightly smoothed
        row, column = np.unravel_index(pooled.argmax(), pooled.shape)
        shifted = np.zeros(basis.shape[2])
        shifted[:2] = column - self.reach, row - self.reach
        tried = [self._newton(basis, start) for start in (np.zeros_like(shifted), shifted)]
        parameters, value, gradients, hessian = max(tried, key=lambda result: result[1])
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) * (np.array(self.size) - 1)
        moved = corners + displacement_basis(model, corners, self.size) @ parameters
        step = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
        return step.astype(np.float64), self._standard_error(model, gradients, hessian), value / self.scale

    def _newton(self, basis: Floats, parameters: Floats) -> tuple[Floats, float, Floats, Floats]:
        """Climb from `parameters`: (parameters, value, gradient per block N×P, Hessian P×P)."""
        damping = 1e-2
        value, gradients, hessian = self._derivatives(basis, parameters)
        for _ in range(NEWTON_STEPS):
            eigen, vectors = np.linalg.eigh(-hessian)
            steepest = max(1e-9, float(np.abs(eigen).max()))
            curved = np.maximum(np.abs(eigen), 1e-3 * steepest) * (1 + damping)
            step = vectors @ ((vectors.T @ gradients.sum(axis=0)) / curved)
            step /= max(1.0, float(np.abs(step).max()))  # at most a pixel
            new = self._derivatives(basis, parameters + step)
            if new[0] <= value:
                damping *= 10
                if damping > MOST_DAMPING:
                    break
                continue
            damping = max(1e-3, damping / 5)
            parameters, (value, gradients, hessian) = parameters + step, new
            if np.abs(step).max() < SMALLEST_STEP_PX:
                break
        return parameters, value, gradients, hessian

    def _derivatives(self, basis: Floats, parameters: Floats) -> tuple[float, Floats, Floats]:
        """Sum of the surfaces at the displacements, its gradient per block and its Hessian."""
        displacement = basis @ parameters
        inside = np.abs(displacement).max(axis=1) <= self.reach
        knots = np.clip(displacement, -self.reach, self.reach) + self.reach
        first = np.minimum(knots.astype(int), 2 * self.reach - 1)
        (x0, x1, x2), (y0, y1, y2) = (_spline_weights(knots[:, axis] - first[:, axis]) for axis in (0, 1))
        block = np.arange(len(knots))[:, None, None]
        near = np.arange(4)
        patch = self._coefficients[
            first[:, 1, None, None] + near[:, None], first[:, 0, None, None] + near, block
        ]  # N×4×4, rows are y

        def weighted(rows: Floats, columns: Floats) -> Floats:
            return np.einsum("nij,ni,nj->n", patch, rows, columns)

        slopes = np.stack([weighted(y0, x1), weighted(y1, x0)], axis=1) * inside[:, None]
        xx, xy, yy = (weighted(*pair) * inside for pair in ((y0, x2), (y1, x1), (y2, x0)))
        gradients = np.einsum("nij,ni->nj", basis, slopes)
        bx, by = basis[:, 0], basis[:, 1]
        mixed = (bx * xy[:, None]).T @ by
        hessian = (bx * xx[:, None]).T @ bx + mixed + mixed.T + (by * yy[:, None]).T @ by
        return float(weighted(y0, x0).sum()), gradients, hessian

    def _standard_error(self, model: str, gradients: Floats, hessian: Floats) -> float:
        """Sandwich estimate of the error of the displacement, RMS over the picture (infinite off a summit)."""
        eigen = np.linalg.eigvalsh(-hessian)
        if eigen[0] <= FLATTEST * abs(eigen[-1]):  # the summit is a ridge: stripes, an empty picture
            return np.inf
        inverse = np.linalg.inv(hessian)
        covariance = inverse @ (gradients.T @ gradients) @ inverse
        steps = (np.linspace(0, edge - 1, 5) for edge in self.size)
        grid = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
        basis = displacement_basis(model, grid, self.size)
        return float(np.sqrt(np.einsum("nij,jk,nik->n", basis, covariance, basis).mean()))


def displacement_basis(model: str, points: Floats, size: tuple[int, int]) -> Floats:
    """N×2×parameters: displacement of `points` per unit of each parameter, which is a pixel at the side."""
    x, y = ((points - (np.array(size) - 1) / 2) / (size[0] / 2)).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    if model == "similarity":
        columns = [(one, zero), (zero, one), (x, y), (-y, x)]
    else:
        columns = [(one, zero), (zero, one), (x, zero), (y, zero), (zero, x), (zero, y)]
    if model == "homography":
        columns += [(x * x, x * y), (x * y, y * y)]
    return np.stack([np.stack(column, axis=1) for column in columns], axis=2)


def _spline_weights(offset: Floats) -> tuple[Floats, Floats, Floats]:
    """Cubic B-spline weights (N×4) of the knots -1, 0, 1, 2 at `offset` in [0, 1], and two derivatives."""
    t = offset[:, None]
    value = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    first = [-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]
    second = [1 - t, 3 * t - 2, 1 - 3 * t, t]
    return np.hstack(value) / 6, np.hstack(first) / 2, np.hstack(second)
