"""Where a frame was at a moment: a small interpolating look-up over what TF and odometry said, without ROS.

Matrices are 4×4 float64 and named after what they do: `a_from_b` takes a point of frame b to frame a, which is the
pose of b in a. Transforms are rigid. Stamps are integer nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

LONGEST_GAP_NS = (
    1_000_000_000  # between two poses: farther apart nobody knows what the robot did between them ...
)
STILL_M, STILL_RAD = 0.05, 0.02  # ... unless it is where it was: localisation may publish only what changes
HELD_NS = 50_000_000  # a picture this little before the first pose or after the last one is given that pose


class PoseError(LookupError):
    """No pose for a moment. `reason` is one word for counters, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def matrix_from(position: Sequence[float] | Matrix, quaternion: Sequence[float] | Matrix) -> Matrix:
    """A pose from metres and a quaternion x y z w of any length above 0; ValueError for what is none."""
    from scipy.spatial.transform import Rotation

    out = np.eye(4)
    if not (np.isfinite(position).all() and np.isfinite(quaternion).all()):
        raise ValueError("a pose with NaN or infinity")
    out[:3, :3] = Rotation.from_quat(np.asarray(quaternion, np.float64)).as_matrix()
    out[:3, 3] = position
    return out


def pose_of_message(transform_or_pose: Any) -> Matrix:
    """The matrix of a geometry_msgs/Transform or Pose; ValueError for what is none."""
    if hasattr(transform_or_pose, "translation"):
        at, turn = transform_or_pose.translation, transform_or_pose.rotation
    else:
        at, turn = transform_or_pose.position, transform_or_pose.orientation
    return matrix_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w))


def inverse(a_from_b: Matrix) -> Matrix:
    """`b_from_a` of a rigid transform."""
    out = np.eye(4)
    out[:3, :3] = a_from_b[:3, :3].T
    out[:3, 3] = -a_from_b[:3, :3].T @ a_from_b[:3, 3]
    return out


def interpolated(before: Matrix, after: Matrix, share: float) -> Matrix:
    """Between two poses: a straight line for the position, slerp for the orientation; 0 is `before`."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(before[:3, :3].T @ after[:3, :3]).as_rotvec()
    out = np.eye(4)
    out[:3, :3] = before[:3, :3] @ Rotation.from_rotvec(share * turn).as_matrix()
    out[:3, 3] = (1 - share) * before[:3, 3] + share * after[:3, 3]
    return out


def turn_between(one: Matrix, other: Matrix) -> float:
    """Angle between two orientations, radians."""
    cosine = (np.trace(one[:3, :3].T @ other[:3, :3]) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1, 1)))


def is_still(before: Matrix, after: Matrix) -> bool:
    """Whether two poses are as good as the same."""
    moved = float(np.linalg.norm(after[:3, 3] - before[:3, 3]))
    return moved < STILL_M and turn_between(before, after) < STILL_RAD


class Track:
    """The poses of one frame in its parent over time; `static`: it never moves."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent, self.static = parent, static
        self._poses: list[tuple[int, Matrix]] = []

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, stamp_ns: int, parent_from_child: Matrix) -> None:
        """One pose; of several with one stamp the last counts."""
        at = bisect_left(self._poses, stamp_ns, key=itemgetter(0))
        if at < len(self._poses) and self._poses[at][0] == stamp_ns:
            self._poses[at] = (stamp_ns, parent_from_child)
        else:
            insort(self._poses, (stamp_ns, parent_from_child), key=itemgetter(0))

    def at(self, stamp_ns: int) -> Matrix:
        """`parent_from_child`, interpolated. :class:`PoseError` outside of what was said and in long gaps."""
        if self.static:
            return self._poses[-1][1]
        after = bisect_left(self._poses, stamp_ns, key=itemgetter(0))
        for end in (0, len(self._poses) - 1):
            if abs(self._poses[end][0] - stamp_ns) <= HELD_NS and after in (0, len(self._poses)):
                return self._poses[end][1]
        if after in (0, len(self._poses)):
            side = "before the first" if after == 0 else "after the last"
            raise PoseError("no_pose", f"{side} pose in {self.parent}")
        (earlier, start), (later, stop) = self._poses[after - 1 : after + 1]
        if later - earlier > LONGEST_GAP_NS and not is_still(start, stop):
            raise PoseError("pose_gap", f"{(later - earlier) / 1e9:.1f} s between two poses in {self.parent}")
        return interpolated(start, stop, (stamp_ns - earlier) / (later - earlier))


class FrameTree:
    """Frames and how they hang together, as TF has them: every frame has one parent."""

    def __init__(self) -> None:
        self.tracks: dict[str, Track] = {}  # by child
        self.ignored: list[tuple[str, str]] = []  # (parent, child) that gave a child a second parent

    def add(self, parent: str, child: str, stamp_ns: int, parent_from_child: Matrix, *, static: bool) -> None:
        """A transform as TF sends it; the first parent of a child stays, others are noted in `ignored`."""
        parent, child = parent.lstrip("/"), child.lstrip("/")  # tf1 wrote a slash
        track = self.tracks.setdefault(child, Track(parent, static))
        if track.parent != parent:
            if (parent, child) not in self.ignored:
                self.ignored.append((parent, child))
            return
        track.static = track.static and static
        track.add(stamp_ns, parent_from_child)

    def attach(self, child: str, track: Track) -> None:
        """Let `track` (odometry) say where `child` is, in place of what was known."""
        self.tracks[child.lstrip("/")] = track

    def frames(self) -> set[str]:
        """Every frame that was named."""
        return set(self.tracks) | {track.parent for track in self.tracks.values()}

    def ancestors(self, frame: str) -> list[str]:
        """`frame`, its parent and so on up to the top. :class:`PoseError` when that is a circle."""
        chain = [frame.lstrip("/")]
        while chain[-1] in self.tracks:
            chain.append(self.tracks[chain[-1]].parent)
            if chain[-1] in chain[:-1]:
                raise PoseError("not_connected", f"TF goes in a circle: {' < '.join(chain)}")
        return chain

    def path(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """(frames from `source` up to below the common one, the same from `target`).

        :class:`PoseError` naming both and what each is connected to when they do not hang together.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        up, down = self.ancestors(source), self.ancestors(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            raise PoseError(
                "not_connected",
                f"TF does not connect {source!r} ({' < '.join(up)}) with {target!r} ({' < '.join(down)})",
            )
        return up[: up.index(shared)], down[: down.index(shared)]

    def moves(self, target: str, source: str) -> bool:
        """Whether anything between two connected frames can move."""
        return any(not self.tracks[frame].static for side in self.path(target, source) for frame in side)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Matrix:
        """`target_from_source` at a moment. :class:`PoseError` when it is not known then."""
        up, down = self.path(target, source)
        return inverse(self._chain(down, stamp_ns)) @ self._chain(up, stamp_ns)

    def _chain(self, frames: list[str], stamp_ns: int) -> Matrix:
        """Pose of the first of `frames` in the parent of the last."""
        out = np.eye(4)
        for frame in frames:
            out = self.tracks[frame].at(stamp_ns) @ out
        return out


PoseOf = Callable[[str, int], Matrix | None]  # of a frame at a moment, in another one; None: not known


def poses_in(world: str, tree: FrameTree) -> PoseOf:
    """`world_from_frame` by what a recording says; nothing is known where `world` is empty."""

    def pose_of(frame: str, stamp_ns: int) -> Matrix | None:
        with suppress(PoseError):
            return tree.lookup(world, frame, stamp_ns) if world else None
        return None

    return pose_of
