"""The ground in a depth picture: a plane fitted robustly to what lies below, or the reason why there is none.

On a plane ``n · X = h`` inverse depth is linear in the ray, ``1 / Z = (n / h) · ray``, so three pixels give a plane,
and errors that grow with distance, as those of depth networks do, are errors of one size in ``log(Z · n / h · ray)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.sensing.camera import CameraModel, Floats

F32 = NDArray[np.float32]

LOWER = 0.5  # the ground is looked for in this part of the picture
POINTS = 2400  # that are looked at
FEWEST_POINTS = 150
HYPOTHESES = 120
TOLERANCE = 0.15  # of log depth
MOST_TILT_DEG = 20.0
LEAST_SHARE = 0.35  # of the points must lie on the plane
MOST_BELOW = 0.20  # of the points may lie below it: the ground is the lowest thing
LEAST_WIDTH, LEAST_RANGE = 0.4, 0.35  # of the picture's width, of log depth: how far the plane must reach
PASSES = 5
MOUNTING_DEG = 8.0  # expected between the ground and the camera's down where nobody knows how it is mounted…
SHAKE_DEG = 2.5  # …about the mean of what was found so far…
ROCKING_DEG = 1.0  # …and where somebody knows: robots rock, ground is not level
GAIN = 0.1  # of the mean
ALIKE = 6  # independent parts of the plane: depth errors are smooth
FLOOR = 0.03  # sigma of a perfect fit: no ground is quite a plane


@dataclass(frozen=True)
class Ground:
    """A plane ``normal · X = height`` in the RGB optical frame, in the units of the depth picture.

    `normal` (3,) is a unit vector that points down, `share` of the lower part of the picture lies on it, `sigma` is the
    standard error of log height.
    """

    normal: Floats
    height: float
    share: float
    sigma: float

    @property
    def tilt_deg(self) -> float:
        """Between the normal and the camera's own down."""
        return float(np.degrees(np.arccos(np.clip(self.normal[1], -1, 1))))


class GroundFitter:
    """Fits the ground in the pictures of one camera and learns how that is mounted; deterministic."""

    def __init__(self, camera: CameraModel, down: Floats | None = None):
        """`down` in the optical frame, where the mounting is known: the ground is expected there, within
        :data:`MOST_TILT_DEG`.
        """
        self.down = np.array([0.0, 1.0, 0.0]) if down is None else down / np.linalg.norm(down)
        self._mounted = down is not None
        rows = camera.height - int(camera.height * LOWER)
        step = max(1, int(np.sqrt(rows * camera.width / POINTS)))
        v, u = np.mgrid[
            camera.height - rows + step // 2 : camera.height : step, step // 2 : camera.width : step
        ]
        pixels = np.stack([u.ravel(), v.ravel()], axis=1)
        rays = camera.unproject(pixels.astype(np.float64))
        seen = np.isfinite(rays).all(axis=1)
        self._pixels, self._rays = pixels[seen], rays[seen]
        self._size = camera.size
        self.reset()

    def reset(self) -> None:
        """Forget what was learned of how the camera is mounted."""
        self._normal: Floats | None = None

    def fit(self, depth: F32, uncertainty: F32 | None = None) -> Ground | str:
        """The ground in `depth` (any size, RGB view, NaN invalid), or why it is not believed.

        `uncertainty` (same size) is the sigma of log depth.
        """
        height, width = depth.shape
        x = self._pixels[:, 0] * width // self._size[0]
        y = self._pixels[:, 1] * height // self._size[1]
        z = depth[y, x].astype(np.float64)
        weight = (
            np.ones(len(z)) if uncertainty is None else 1 / (0.1**2 + uncertainty[y, x].astype(float) ** 2)
        )
        usable = (z > 0) & np.isfinite(z) & np.isfinite(weight)
        if usable.sum() < FEWEST_POINTS:
            return "hardly any depth in the lower part of the picture"
        z, rays, u, weight = z[usable], self._rays[usable], self._pixels[usable, 0], weight[usable]
        plane = self._best_of_many(rays, z, weight)
        if plane is None:
            return "no plane below the camera that is roughly level"
        solver = _Solver(rays, z, weight, *self._expected())
        sigma = np.inf
        for _ in range(PASSES):
            plane, sigma = solver.refined(plane)
        ground = self._judged(plane, solver, u, sigma)
        if isinstance(ground, Ground):
            self._learn(ground.normal)
        return ground

    def _expected(self) -> tuple[Floats, float]:
        """Where the ground's normal is before anything is seen, and its standard error in radians."""
        if self._mounted:
            return self.down, np.radians(ROCKING_DEG)
        if self._normal is None:
            return self.down, np.radians(MOUNTING_DEG)
        return self._normal, np.radians(SHAKE_DEG)

    def _learn(self, normal: Floats) -> None:
        """The mounting stays as it is; only shaking and slopes turn the ground about it."""
        mean = normal if self._normal is None else self._normal + GAIN * (normal - self._normal)
        self._normal = mean / np.linalg.norm(mean)

    def _best_of_many(self, rays: Floats, z: Floats, weight: Floats) -> Floats | None:
        """Normal over height of the hypothesis that most points support."""
        random = np.random.default_rng(0)
        threes = random.integers(0, len(z), (HYPOTHESES, 3))
        corners = rays[threes]
        solvable = np.abs(np.linalg.det(corners)) > 1e-4
        planes = np.linalg.solve(corners[solvable], 1 / z[threes[solvable]][..., None])[..., 0]
        level = planes @ self.down > np.cos(np.radians(MOST_TILT_DEG)) * np.linalg.norm(planes, axis=1)
        planes = planes[level]
        if not len(planes):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.abs(np.log(planes @ rays.T * z)) < TOLERANCE
        best: Floats = planes[np.argmax(near @ weight)]
        return best

    def _judged(self, plane: Floats, solver: _Solver, u: NDArray, sigma: float) -> Ground | str:
        size = float(np.linalg.norm(plane))
        normal = plane / size
        tilt = np.degrees(np.arccos(np.clip(normal @ self.down, -1, 1)))
        if tilt > MOST_TILT_DEG:
            return f"the plane below is tilted by {tilt:.0f}°"
        residual, weight = solver.residual(plane), solver.weight / solver.weight.sum()
        on = np.abs(residual) < TOLERANCE
        share = float(weight[on].sum())
        if share < LEAST_SHARE:
            return f"only {share:.0%} of the lower part of the picture lies on one plane"
        below = float(weight[residual > TOLERANCE].sum())
        if below > MOST_BELOW:
            return f"{below:.0%} of the lower part of the picture lies below the plane"
        low, high = np.percentile(solver.z[on], [5, 95])
        if np.log(high / low) < LEAST_RANGE or np.ptp(u[on]) < LEAST_WIDTH * self._size[0]:
            return "the plane below is too small to be the ground"
        return Ground(normal, 1 / size, share, float(np.hypot(FLOOR, sigma)))


class _Solver:
    """Iteratively reweighted least squares (Tukey) on log depth, drawn towards an expected normal."""

    def __init__(self, rays: Floats, z: Floats, weight: Floats, expected: Floats, expected_sigma: float):
        self.rays, self.z, self.weight = rays, z, weight
        self._expected, self._expected_sigma = expected, expected_sigma

    def residual(self, plane: Floats) -> Floats:
        """Log of how much farther each point is than the plane (N,)."""
        return np.asarray(np.log(np.maximum(self.rays @ plane * self.z, 1e-9)))

    def refined(self, plane: Floats) -> tuple[Floats, float]:
        """The plane after one pass, and the standard error of the log of its height."""
        residual = self.residual(plane)
        share = self.weight * np.clip(1 - (residual / (2 * TOLERANCE)) ** 2, 0, None) ** 2
        rows = self.rays / np.maximum(self.rays @ plane, 1e-9)[:, None]  # d residual / d plane
        spread = max(FLOOR, float(np.sqrt((share * residual**2).sum() / share.sum())))
        # Neighbours err together: all points are worth ALIKE independent ones.
        worth = ALIKE / (spread**2 * share.sum())
        size = float(np.linalg.norm(plane))
        unit = plane / size
        across = (np.eye(3) - np.outer(unit, unit)) / size  # d unit / d plane
        trust = 1 / self._expected_sigma**2
        information = worth * (rows * share[:, None]).T @ rows + trust * across.T @ across
        information += 1e-9 * np.trace(information) * np.eye(3)
        slope = worth * (rows * share[:, None]).T @ residual + trust * across.T @ (unit - self._expected)
        step = np.linalg.solve(information, slope)
        step *= min(1.0, 0.3 * size / (float(np.linalg.norm(step)) + 1e-12))
        along = unit / size  # d log(1 / height) / d plane
        variance = float(along @ np.linalg.solve(information, along))
        return plane - step, float(np.sqrt(variance))
