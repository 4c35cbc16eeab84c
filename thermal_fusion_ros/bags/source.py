"""What every recording looks like to the rest of the package, and how one is opened."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thermal_fusion_ros.geometry.poses import FrameTree

FIRST_STAMP_NS = 1_000_000_000  # of recordings without a clock; 0 would read as "no stamp" in ROS
SECOND_NS = 1_000_000_000
BAG_SUFFIXES = (".mcap", ".db3")
FOLDER_NAMES = (("visible", "infrared"), ("vi", "ir"), ("rgb", "thermal"))
_ACCEPTED = (
    "a rosbag2 (folder, .mcap or .db3), or a folder with sub-folders "
    + " | ".join("+".join(names) for names in FOLDER_NAMES)
    + ", each holding one video or pictures with matching names"
)


class Arrival(NamedTuple):
    """A frame and when it arrived at the recorder, ns; never decreasing within a recording."""

    time_ns: int
    frame: RgbFrame | ThermalFrame


class Source(Protocol):
    """A recording that can be played any number of times.

    `problems` gathers, during a pass, one line for everything that could not be read; the pass goes on
    without it. `camera_info` has the recording's sensor_msgs/CameraInfo (any object with its fields) under
    "rgb" and "thermal" where it holds them.
    """

    name: str
    problems: list[str]
    camera_info: dict[str, Any]

    @property
    def frame_count(self) -> int | None:
        """Estimate of the frames of both streams together for progress bars; None when nobody knows."""

    def arrivals(self) -> Iterator[Arrival]:
        """One pass over the frames of both streams in the order of arrival."""

    def __iter__(self) -> Iterator[RgbFrame | ThermalFrame]:
        """The frames of one pass alone."""

    def transforms(self, seconds: float = math.inf) -> FrameTree:
        """Where frames were, by the recording's TF; empty where it has none.

        `seconds`: of what moves only so much after the first frame was recorded; long recordings take long to read.
        """


class Problems:
    """What is wrong with a recording."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def report(self, problem: str) -> None:
        """Note a problem once, however often the recording is played."""
        if problem not in self.problems:
            self.problems.append(problem)


class Recording(Problems):
    """What the sources share."""

    name: str

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.camera_info: dict[str, Any] = {}

    def arrivals(self) -> Iterator[Arrival]:
        """One pass; see :class:`Source`."""
        raise NotImplementedError

    def transforms(self, seconds: float = math.inf) -> FrameTree:
        """None; see :class:`Source`."""
        del seconds
        from thermal_fusion_ros.geometry.poses import FrameTree

        return FrameTree()

    def __iter__(self) -> Iterator[RgbFrame | ThermalFrame]:
        return (arrival.frame for arrival in self.arrivals())


class Loaded(Recording):
    """Another source's frames, read once and kept in memory."""

    def __init__(self, source: Source, on_frame: Callable[[], object] = lambda: None) -> None:
        super().__init__(source.name)
        self.camera_info = source.camera_info
        self._source = source
        self.loaded: list[Arrival] = []
        for arrival in source.arrivals():
            self.loaded.append(arrival)
            on_frame()
        self.problems = source.problems

    @property
    def frame_count(self) -> int | None:
        """Frames in memory."""
        return len(self.loaded)

    def transforms(self, seconds: float = math.inf) -> FrameTree:
        """Those of what was loaded."""
        return self._source.transforms(seconds)

    def arrivals(self) -> Iterator[Arrival]:
        """What was loaded."""
        return iter(self.loaded)


def open_source(
    path: Path,
    *,
    rgb_topic: str = "",
    thermal_topic: str = "",
    clip: str = "",
    fps: float = 0.0,
) -> Source:
    """Open a recording.

    `rgb_topic`, `thermal_topic`: of a bag; empty finds them. `clip`: which one, where the sub-folders hold
    several videos. `fps`: stamps of pictures (30 when 0) and videos (their own when 0). Raises `InputError`
    with what is wrong: no such file, not a recording, truncated beyond use, topics that can't be told
    apart, nothing that matches.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; a source is {_ACCEPTED}")
    bag_files = _bag_files(path)
    folders = next((pair for pair in FOLDER_NAMES if all((path / name).is_dir() for name in pair)), None)
    if bag_files and folders:
        raise InputError(
            f"{path}: holds {bag_files[0].name} and the folders {' and '.join(folders)}; name the bag, or move it away"
        )
    if bag_files:
        from thermal_fusion_ros.bags.rosbag_source import RosbagSource

        return RosbagSource(path, bag_files, rgb_topic=rgb_topic, thermal_topic=thermal_topic)
    if folders:
        from thermal_fusion_ros.bags.folder_source import open_folders

        return open_folders(*(path / name for name in folders), clip=clip, fps=fps)
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"{path}: the folder is empty; a source is {_ACCEPTED}")
    raise InputError(f"{path}: not a recording; a source is {_ACCEPTED}")


def thermal_kind(image: NDArray[Any]) -> ThermalKind:
    """What a thermal image most likely is, by its depth: 8-bit has its contrast set, 16-bit is raw counts."""
    return ThermalKind.AGC8 if image.dtype == "uint8" else ThermalKind.COUNTS


def _bag_files(path: Path) -> list[Path]:
    """The storage files of a rosbag2, in order of writing; none when `path` is something else.

    The folder itself where they are compressed as a whole. Raises `InputError` for a folder of several recordings.
    """
    if path.is_file():
        return [path] if path.suffix in BAG_SUFFIXES else []
    from thermal_fusion_ros.bags.pictures import natural_key

    listed = [file for file in _listed_files(path) if file.is_file()]
    if listed:
        return listed if all(file.suffix in BAG_SUFFIXES for file in listed) else [path]
    files = (file for file in path.iterdir() if file.suffix in BAG_SUFFIXES and not file.name.startswith("."))
    found = sorted(files, key=lambda file: natural_key(file.name))
    # Of one recording rosbag2 writes NAME_0.mcap, NAME_1.mcap and so on.
    recordings = {(re.sub(r"_\d+$", "", file.stem), file.suffix) for file in found}
    if len(recordings) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"{path}: holds {len(recordings)} recordings: {names}; name one")
    if not found and (path / "metadata.yaml").is_file():
        return [path]
    return found


def _listed_files(folder: Path) -> list[Path]:
    """The storage files that a bag folder's metadata.yaml names; none where it can't be read."""
    import yaml

    try:
        metadata = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
        listed = metadata["rosbag2_bagfile_information"]["relative_file_paths"]
        # Early rosbag2 wrote the folder's name too, which may have changed since.
        return [folder / PurePath(name).name for name in listed]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return []


def missing_files(bag: Path) -> list[Path]:
    """What metadata.yaml of a bag folder names beside files that are there."""
    listed = _listed_files(bag)
    missing = [file for file in listed if not file.is_file()]
    return missing if len(missing) < len(listed) else []
