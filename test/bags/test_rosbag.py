"""Bags written and read back, cut, damaged, and with topics that must be found or refused."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.source import Arrival, _bag_files
from thermal_fusion_ros.bags.writer import BagWriter, write_frame
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind


def colour_picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey_picture(seed: int, height: int = 48, width: int = 64, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width), dtype)


FORMS = ["bag.mcap", "bag.db3", "folder"]


def write_bag(
    path: Path,
    count: int = 3,
    *,
    rgb: str = "/rgb/image_raw",
    thermal: str = "/thermal/image_raw",
    dtype: type = np.uint8,
    storage: str = "mcap",
    compressed: bool = False,
) -> Path:
    with BagWriter(path, storage) as writer:
        for index in range(count):
            stamp = 10**9 + index * 10**8
            for topic, image, delay in (
                (rgb, colour_picture(index), 0),
                (thermal, grey_picture(index, dtype=dtype), 10**7),
            ):
                writer.write_image(
                    topic, image, stamp_ns=stamp, frame_id="cam", time_ns=stamp + delay, compressed=compressed
                )
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_round_trip(tmp_path: Path, form: str, storage: str) -> None:
    path = write_bag(tmp_path / form, storage=storage, dtype=np.uint16)
    assert path.is_dir() == (form == "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == [form]  # nothing is left beside it
    source = open_source(path)
    arrivals = list(source.arrivals())
    assert source.frame_count == len(arrivals) == 6
    assert [arrival.time_ns - 10**9 for arrival in arrivals[:3]] == [0, 10**7, 10**8]
    rgb, thermal = arrivals[2].frame, arrivals[3].frame
    assert isinstance(rgb, RgbFrame)
    assert isinstance(thermal, ThermalFrame)
    assert (rgb.stamp_ns, rgb.frame_id, thermal.stamp_ns) == (10**9 + 10**8, "cam", 10**9 + 10**8)
    assert np.array_equal(rgb.image, colour_picture(1))
    assert np.array_equal(thermal.image, grey_picture(1, dtype=np.uint16))
    assert thermal.kind is ThermalKind.COUNTS
    assert source.problems == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_paths_may_hold_what_has_a_meaning_in_a_uri(tmp_path: Path, form: str, storage: str) -> None:
    path = write_bag(tmp_path / "ü #3 50%20?x" / form, count=1, storage=storage)
    assert [entry.name for entry in path.parent.iterdir()] == [form]
    assert len(list(open_source(path))) == 2


def test_same_calls_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = write_bag(tmp_path / "a" / "x.mcap"), write_bag(tmp_path / "b" / "x.mcap")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compressed_keeps_thermal_exactly(tmp_path: Path, dtype: type) -> None:
    source = open_source(write_bag(tmp_path / "bag.mcap", dtype=dtype, compressed=True))
    frames = list(source)
    assert np.array_equal(frames[1].image, grey_picture(0, dtype=dtype))
    assert frames[0].image.shape == (48, 64, 3)


def test_compressed_colour_is_close(tmp_path: Path) -> None:
    image = np.full((48, 64, 3), (200, 100, 30), np.uint8)
    with BagWriter(tmp_path / "bag.mcap") as writer:
        writer.write_image("/rgb/image_raw", image, stamp_ns=1, frame_id="", compressed=True)
        writer.write_image("/thermal/image_raw", grey_picture(0), stamp_ns=1, frame_id="")
    rgb = next(iter(open_source(tmp_path / "bag.mcap"))).image
    assert np.abs(rgb.astype(int) - image).max() <= 3


@pytest.mark.parametrize(
    ("rgb", "thermal"), [("/robot/rgb/image_raw", "/robot/thermal/image_raw"), ("/cam/color", "/boson/image")]
)
def test_topics_are_found(tmp_path: Path, rgb: str, thermal: str) -> None:
    frames = list(open_source(write_bag(tmp_path / "bag.mcap", rgb=rgb, thermal=thermal)))
    assert [type(frame) for frame in frames] == [RgbFrame, ThermalFrame] * 3


def test_topics_are_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag.mcap")
    frames = list(open_source(path, rgb_topic="thermal/image_raw", thermal_topic="/rgb/image_raw"))
    assert np.array_equal(frames[1].image, np.dstack([grey_picture(0)] * 3))  # grey made colour
    assert frames[0].image.ndim == 2  # colour made grey


def test_missing_topics_are_refused_with_a_list(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag.mcap")
    with pytest.raises(InputError, match=r"no images on /nowhere; the bag has /rgb/image_raw \(Image, 3\)"):
        open_source(path, rgb_topic="/nowhere")
    path = write_bag(tmp_path / "two.mcap", rgb="/a", thermal="/b/mono")
    with BagWriter(tmp_path / "colour.mcap") as writer:
        for topic in ("/left", "/right"):
            writer.write_image(topic, colour_picture(0), stamp_ns=1, frame_id="")
    with pytest.raises(InputError, match=r"colour image topics: /left, /right; choose one with --rgb-topic"):
        open_source(tmp_path / "colour.mcap")
    with pytest.raises(InputError, match=r"mono image topics: none"):
        open_source(tmp_path / "colour.mcap", rgb_topic="/left")


def test_one_topic_for_both_cameras_is_refused(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag.mcap")
    with pytest.raises(InputError, match="/rgb/image_raw can't be both cameras'; the bag has"):
        open_source(path, thermal_topic="rgb/image_raw")


def test_raw_is_preferred_to_compressed(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag.mcap") as writer:
        for compressed in (True, False):
            writer.write_image(
                "/cam/color", colour_picture(0), stamp_ns=1, frame_id="", compressed=compressed
            )
            writer.write_image("/lwir/image", grey_picture(0), stamp_ns=1, frame_id="", compressed=compressed)
    frames = list(open_source(tmp_path / "bag.mcap"))
    assert len(frames) == 2
    assert np.array_equal(frames[0].image, colour_picture(0))


@pytest.mark.parametrize("cut", [1, 30, 9000])
def test_cut_mcap_gives_its_first_part(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "bag.mcap"
    with BagWriter(path) as writer:
        for index in range(80):  # several chunks of 1 MiB
            stamp = 10**9 + index * 10**8
            writer.write_image("/rgb/image_raw", colour_picture(index, 120, 160), stamp_ns=stamp, frame_id="")
            writer.write_image(
                "/thermal/image_raw", grey_picture(index, 120, 160), stamp_ns=stamp, frame_id=""
            )
    whole = path.read_bytes()
    path.write_bytes(whole[: -cut if cut < 100 else len(whole) * 2 // 3])
    source = open_source(path)
    frames = list(source)
    assert 40 <= len(frames) <= (160 if cut < 100 else 110)
    assert np.array_equal(frames[2].image, colour_picture(1, 120, 160))
    assert "cut short" in source.problems[0]


def test_recording_without_metadata_is_read(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "folder")
    (path / "metadata.yaml").unlink()
    assert len(list(open_source(path))) == 6


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
@pytest.mark.parametrize("content", [b"", b"nonsense" * 20, b"\x89MCAP0\r\n"])
def test_broken_bags_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: not a readable bag"):
        open_source(tmp_path / name)


def test_cut_database_is_refused(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag.db3", count=40)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"bag\.db3: not a readable bag"):
        open_source(path)


def test_what_a_killed_recorder_left_in_the_log_of_a_database_is_read(tmp_path: Path) -> None:
    """rosbag2's `--storage-preset-profile resilient` writes to a log beside the database first."""
    whole = sqlite3.connect(write_bag(tmp_path / "whole.db3"))
    recording = sqlite3.connect(tmp_path / "killed.db3")
    whole.backup(recording)
    recording.execute("DELETE FROM messages WHERE id > 2")
    recording.commit()
    recording.execute("PRAGMA journal_mode=WAL")
    recording.executemany(
        "INSERT INTO messages VALUES (?,?,?,?)", whole.execute("SELECT * FROM messages WHERE id > 2")
    )
    recording.commit()
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"killed.db3{end}", copy)
    recording.close()
    source = open_source(copy / "killed.db3")
    assert source.frame_count == len(list(source)) == 6


def test_a_file_of_a_split_bag_that_cannot_be_opened_is_left_out_and_told(tmp_path: Path) -> None:
    for number in (0, 1):
        write_bag(tmp_path / f"night_{number}.mcap")
    (tmp_path / "night_2.mcap").touch()  # the recorder was killed as it began this one
    source = open_source(tmp_path)
    assert source.frame_count == len(list(source)) == 12
    assert [problem.partition(", left out")[0] for problem in source.problems] == [
        f"{tmp_path / 'night_2.mcap'}: not readable"
    ]


def test_damage_in_the_middle_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "bag.mcap"
    with BagWriter(path) as writer:
        for index in range(80):  # several chunks of 1 MiB
            stamp = 10**9 + index * 10**8
            writer.write_image("/rgb/image_raw", colour_picture(index, 120, 160), stamp_ns=stamp, frame_id="")
            writer.write_image(
                "/thermal/image_raw", grey_picture(index, 120, 160), stamp_ns=stamp, frame_id=""
            )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100_000] = b"\xff" * 100_000  # longer than a pair, so a header is hit
    path.write_bytes(data)
    source = open_source(path)
    frames = list(source)
    assert 40 <= len(frames) < 100
    assert "damaged, the rest is left out" in source.problems[0]


def test_undecodable_images_are_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "bag.mcap"
    with BagWriter(path) as writer:
        for index in range(3):
            writer.write_image("/thermal/image_raw", grey_picture(index), stamp_ns=index + 1, frame_id="")
            bad = writer.type("sensor_msgs/msg/Image")(
                header=writer.header(index + 1, ""), height=48, width=64, encoding="rgb8", is_bigendian=0,
                step=192, data=np.zeros(100, np.uint8),
            )  # fmt: skip
            writer.write("/rgb/image_raw", bad, index + 1)
    source = open_source(path)
    assert len(list(source)) == 3
    assert len(source.problems) == 1
    assert "/rgb/image_raw: 3 images not decoded" in source.problems[0]


def test_a_pass_that_ended_early_does_not_count_again_what_could_not_be_decoded(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "images.mcap")
    with AnyReader([path]) as reader, BagWriter(tmp_path / "bag.mcap") as writer:
        for connection, stamp, data in reader.messages():
            writer.write_serialized(connection.topic, connection.msgtype, b"\0\1\0\0?", stamp - 1)
            writer.write_serialized(connection.topic, connection.msgtype, data, stamp)
    source = open_source(tmp_path / "bag.mcap")
    next(source.arrivals())
    assert [problem.partition(" not")[0] for problem in source.problems] == [
        f"{source.path}: /rgb/image_raw: 1 image"
    ]
    for _ in range(2):
        assert len(list(source)) == 6
        assert ["3 images not decoded" in problem for problem in source.problems] == [True, True]


def test_empty_bag(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "folder"):
        pass
    with pytest.raises(InputError, match="the bag is empty"):
        open_source(tmp_path / "folder")


def test_camera_info_travels(tmp_path: Path) -> None:
    path = tmp_path / "bag.mcap"
    with BagWriter(path) as writer:
        info = camera_info(writer, focal=500.0)
        for topic, image in (("/rgb/image_raw", colour_picture(0)), ("/thermal/image_raw", grey_picture(0))):
            writer.write_image(topic, image, stamp_ns=5, frame_id="cam")
        writer.write("/rgb/camera_info", info, 5)
    source = open_source(path)
    assert set(source.camera_info) == {"rgb"}
    assert source.camera_info["rgb"].k[0] == 500.0
    with BagWriter(tmp_path / "copy.mcap") as writer:
        for arrival in source.arrivals():
            write_frame(writer, source, arrival)
    copy = open_source(tmp_path / "copy.mcap")
    assert copy.camera_info["rgb"].k[0] == 500.0
    assert copy.camera_info["rgb"].header.frame_id == "cam"


def test_stamp_zero_is_the_time_of_recording(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag.mcap") as writer:
        writer.write_image("/rgb/image_raw", colour_picture(0), stamp_ns=0, frame_id="", time_ns=7)
        writer.write_image("/thermal/image_raw", grey_picture(0), stamp_ns=8, frame_id="", time_ns=9)
    assert [frame.stamp_ns for frame in open_source(tmp_path / "bag.mcap")] == [7, 8]


def test_existing_output_is_not_overwritten(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag.mcap")
    with pytest.raises(InputError, match="exists already"):
        BagWriter(path)
    assert len(list(open_source(path))) == 6


def test_interrupted_writing_leaves_a_whole_bag(tmp_path: Path) -> None:
    def write() -> None:
        with BagWriter(tmp_path / "bag.mcap") as writer:
            writer.write_image("/rgb/image_raw", colour_picture(0), stamp_ns=1, frame_id="")
            writer.write_image("/thermal/image_raw", grey_picture(0), stamp_ns=1, frame_id="")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert len(list(open_source(tmp_path / "bag.mcap"))) == 2


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    for name in FORMS:
        with pytest.raises(InputError), BagWriter(tmp_path / name):
            raise InputError("nothing to read")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_interrupted_before_its_first_image_leaves_nothing(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with BagWriter(path) as writer:
            writer.write("/tf_static", writer.type("tf2_msgs/msg/TFMessage")(transforms=[]), 1)
            writer.write("/rgb/camera_info", camera_info(writer, 500.0), 1)
            raise KeyboardInterrupt

    for name in FORMS:
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """A file on a disk that has room for so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        fits = bytes(data)[: self.room]
        self.file.write(fits)
        self.room -= len(fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(fits)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


def write_until_full(path: Path, room: int, count: int) -> None:
    """An mcap of `count` pairs of 77 kB, of which the disk takes `room` bytes."""
    with BagWriter(path) as writer:
        storage: Any = writer._writer.storage
        storage.bio = FullDisk(storage.bio, room)
        for index in range(count):
            stamp = 10**9 + index * 10**8
            for topic, image in (
                ("/rgb/image_raw", colour_picture(index, 120, 160)),
                ("/thermal/image_raw", grey_picture(index, 120, 160)),
            ):
                writer.write_image(topic, image, stamp_ns=stamp, frame_id="")


@pytest.mark.parametrize("form", ["bag.mcap", "folder"])
@pytest.mark.parametrize("count", [40, 20], ids=["while writing", "while closing"])  # chunks end at 1 MiB
def test_the_first_part_is_kept_of_a_recording_that_filled_the_disk(
    tmp_path: Path, form: str, count: int
) -> None:
    with pytest.raises(InputError, match=rf"{form}: not written to its end: .*No space left.* part is kept"):
        write_until_full(tmp_path / form, 1_300_000, count)
    assert [entry.name for entry in tmp_path.iterdir()] == [form]
    source = open_source(tmp_path / form)
    frames = list(source)
    assert 20 <= len(frames) < 40
    assert np.array_equal(frames[2].image, colour_picture(1, 120, 160))
    assert "cut short" in source.problems[0]


@pytest.mark.parametrize("form", ["bag.mcap", "folder"])
def test_a_recording_that_filled_the_disk_with_its_first_bytes_leaves_nothing(
    tmp_path: Path, form: str
) -> None:
    with pytest.raises(InputError, match=rf"{form}: not written: .*No space left on device$"):
        write_until_full(tmp_path / form, 1000, 20)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_filled_the_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    writer = BagWriter(tmp_path / "bag.db3")
    writer.write_image("/rgb/image_raw", colour_picture(0), stamp_ns=1, frame_id="")
    monkeypatch.setattr(writer._writer.storage, "close", full)
    with pytest.raises(InputError, match=r"bag\.db3: not written: database or disk is full"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def camera_info(writer: BagWriter, focal: float) -> Any:
    roi = writer.type("sensor_msgs/msg/RegionOfInterest")(
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    k = np.array([focal, 0, 32, 0, focal, 24, 0, 0, 1])
    return writer.type("sensor_msgs/msg/CameraInfo")(
        header=writer.header(5, "cam"), height=48, width=64, distortion_model="plumb_bob", d=np.zeros(5), k=k,
        r=np.eye(3).ravel(), p=np.zeros(12), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def test_arrival_order_is_kept(tmp_path: Path) -> None:
    """A thermal camera that delivers late: stamps of the two streams interleave, arrivals never go back."""
    make: Callable[[Path], Path] = write_bag
    arrivals: list[Arrival] = list(open_source(make(tmp_path / "bag.db3")).arrivals())
    assert [arrival.time_ns for arrival in arrivals] == sorted(arrival.time_ns for arrival in arrivals)


def test_a_folder_of_several_recordings_is_refused_with_their_names(tmp_path: Path) -> None:
    write_bag(tmp_path / "night.mcap")
    write_bag(tmp_path / "pics.mcap")
    (tmp_path / "._night.mcap").write_bytes(b"of a Mac")
    with pytest.raises(InputError, match=r": holds 2 recordings: night\.mcap, pics\.mcap; name one"):
        open_source(tmp_path)
    assert len(list(open_source(tmp_path / "night.mcap"))) == 6


def test_a_bag_beside_the_pictures_it_was_made_of_is_not_taken_for_them(tmp_path: Path) -> None:
    for name in ("visible", "infrared"):
        (tmp_path / name).mkdir()
    write_bag(tmp_path / "night.mcap")
    with pytest.raises(
        InputError, match=r"holds night\.mcap and the folders visible and infrared; name the bag"
    ):
        open_source(tmp_path)
    assert len(list(open_source(tmp_path / "night.mcap"))) == 6


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_the_files_of_a_split_recording_are_one(tmp_path: Path, suffix: str) -> None:
    for number in (0, 2, 10):
        write_bag(tmp_path / f"night_{number}{suffix}", count=1)
    assert [file.name for file in _bag_files(tmp_path)] == [f"night_{n}{suffix}" for n in (0, 2, 10)]
    assert len(list(open_source(tmp_path))) == 6


def test_a_recording_and_its_copy_in_another_storage_are_two(tmp_path: Path) -> None:
    for name in ("night_0.mcap", "night_0.db3"):
        write_bag(tmp_path / name)
    with pytest.raises(InputError, match="holds 2 recordings"):
        open_source(tmp_path)


def list_in_metadata(folder: Path, *names: str) -> None:
    lines = "".join(f"\n  - {name}" for name in names)
    (folder / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information:\n  relative_file_paths:{lines}\n", encoding="utf-8"
    )


def test_a_file_of_a_split_bag_that_is_gone_is_told(tmp_path: Path) -> None:
    for number in (0, 1):
        write_bag(tmp_path / f"night_{number}.mcap")
    list_in_metadata(tmp_path, "night_0.mcap", "night_1.mcap", "night_2.mcap")
    source = open_source(tmp_path)
    assert len(list(source)) == 12
    assert [problem.partition(",")[0] for problem in source.problems] == [
        f"{tmp_path / 'night_2.mcap'}: not there"
    ]


def test_metadata_says_which_files_are_the_recording(tmp_path: Path) -> None:
    for name in ("second.mcap", "first.mcap", "other.mcap"):
        write_bag(tmp_path / name, count=1)
    list_in_metadata(tmp_path, "old_name/first.mcap", "second.mcap", "lost.mcap")
    assert [file.name for file in _bag_files(tmp_path)] == ["first.mcap", "second.mcap"]
    assert len(list(open_source(tmp_path))) == 4


@pytest.mark.parametrize("text", ["", "[", "rosbag2_bagfile_information: 3", "a: \xe9"])
def test_metadata_that_cannot_be_read_is_passed_over(tmp_path: Path, text: str) -> None:
    write_bag(tmp_path / "night.mcap")
    (tmp_path / "metadata.yaml").write_bytes(text.encode("latin-1"))
    assert len(list(open_source(tmp_path))) == 6
    write_bag(tmp_path / "pics.mcap")
    with pytest.raises(InputError, match="holds 2 recordings"):
        open_source(tmp_path)


def compress(bag: Path, out: Path, plugin: StoragePlugin, mode: CompressionMode) -> Path:
    """As `ros2 bag record --compression-mode MODE --compression-format zstd`."""
    writer = Writer(out, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with AnyReader([bag]) as reader, writer:
        connections = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=reader.typestore)
            for c in reader.connections
        }
        for connection, stamp, data in reader.messages():
            writer.write(connections[connection.id], stamp, data)
    return out


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_compressed_recordings_are_read(tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode) -> None:
    plain = tmp_path / "plain.mcap"
    with BagWriter(plain) as writer:
        for topic, image in (("/rgb/image_raw", colour_picture(0)), ("/thermal/image_raw", grey_picture(0))):
            writer.write_image(topic, image, stamp_ns=5, frame_id="cam")
        writer.write("/rgb/camera_info", camera_info(writer, focal=500.0), 5)
    bag = compress(plain, tmp_path / "bag", plugin, mode)
    opened = [bag]
    if mode is CompressionMode.MESSAGE:  # and without the metadata that would tell
        alone = next(file for file in bag.iterdir() if file.stem == "bag")
        opened.append(Path(shutil.copy(alone, tmp_path / f"alone{alone.suffix}")))
    for path in opened:
        source = open_source(path)
        rgb, thermal = source
        assert np.array_equal(rgb.image, colour_picture(0))
        assert np.array_equal(thermal.image, grey_picture(0))
        assert source.camera_info["rgb"].k[0] == 500.0
        assert source.problems == []


@pytest.mark.parametrize("form", ["bag.mcap", "bag.db3"])
def test_a_camera_info_that_cannot_be_decoded_is_reported_and_the_images_are_read(
    tmp_path: Path, form: str
) -> None:
    path = write_bag(tmp_path / "images.mcap")
    with AnyReader([path]) as reader, BagWriter(tmp_path / form) as writer:
        for connection, stamp, data in reader.messages():
            writer.write_serialized(connection.topic, connection.msgtype, data, stamp)
        writer.write_serialized("/rgb/camera_info", "sensor_msgs/msg/CameraInfo", b"\0\1\0\0?", 10**9)
    source = open_source(tmp_path / form)
    assert len(list(source)) == 6
    assert source.camera_info == {}
    assert len(source.problems) == 1
    assert "/rgb/camera_info: 1 message not decoded" in source.problems[0]


def test_the_first_camera_info_that_can_be_decoded_is_taken(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag.mcap") as writer:
        for stamp in (1, 2):
            writer.write_serialized("/rgb/camera_info", "sensor_msgs/msg/CameraInfo", b"\0\1\0\0?", stamp)
        writer.write("/rgb/camera_info", camera_info(writer, focal=500.0), 3)
        writer.write_image("/rgb/image_raw", colour_picture(0), stamp_ns=3, frame_id="cam")
        writer.write_image("/thermal/image_raw", grey_picture(0), stamp_ns=3, frame_id="cam")
    source = open_source(tmp_path / "bag.mcap")
    assert source.camera_info["rgb"].k[0] == 500.0
    source.transforms()  # reads them again
    assert len(source.problems) == 1
    assert "/rgb/camera_info: 2 messages not decoded" in source.problems[0]
