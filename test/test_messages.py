"""Image messages become the pictures they were made from, and bad ones are told apart. Needs no ROS."""

from __future__ import annotations

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.messages import (
    BadMessageError,
    check_message,
    check_rgb_message,
    check_thermal_message,
    image_from_message,
    layouts,
    rgb_from_message,
    stamp_ns,
    thermal_from_message,
)

H, W = 12, 16


def message(encoding, pixels, *, height=H, width=W, padding=0, bigendian=False, step=None):
    """An Image whose rows are the bytes of `pixels` (rows × numbers) plus `padding`."""
    pixels = np.ascontiguousarray(pixels)
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = rows.byteswap() if bigendian else rows
    raw = rows.view(np.uint8)
    padded = np.concatenate([raw, np.full((raw.shape[0], padding), 0xAB, np.uint8)], axis=1)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="cam"),
        encoding=encoding,
        height=height,
        width=width,
        is_bigendian=int(bigendian),
        step=padded.shape[1] if step is None else step,
        data=array.array("B", padded.tobytes()),
    )


def compressed(kind, data):
    return SimpleNamespace(format=kind, data=array.array("B", bytes(data)))


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth_rgb():
    y, x = np.mgrid[:H, :W]
    return np.stack([x * 255 // W, y * 255 // H, (x + y) * 255 // (H + W)], -1).astype(np.uint8)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize(
    ("encoding", "dtype", "order"),
    [
        ("mono8", np.uint8, None), ("8UC1", np.uint8, None), ("mono16", np.uint16, None), ("16UC1", np.uint16, None),
        ("rgb8", np.uint8, [0, 1, 2]), ("bgr8", np.uint8, [2, 1, 0]),
        ("rgba8", np.uint8, [0, 1, 2, 3]), ("bgra8", np.uint8, [2, 1, 0, 3]),
        ("rgb16", np.uint16, [0, 1, 2]), ("bgr16", np.uint16, [2, 1, 0]),
        ("rgba16", np.uint16, [0, 1, 2, 3]), ("bgra16", np.uint16, [2, 1, 0, 3]),
    ],
)  # fmt: skip
def test_plain_encodings_in_any_byte_order_with_padded_rows(encoding, dtype, order, bigendian, padding):
    picture = noise(H, W, 4, dtype=dtype)
    if order is None:
        stored, wanted = picture[..., 0], picture[..., 0]
    else:
        stored, wanted = picture[..., order], picture[..., :3]
    got = image_from_message(message(encoding, stored, bigendian=bigendian, padding=padding))
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bigendian", [False, True])
def test_float_temperatures_keep_their_nans(bigendian):
    picture = noise(H, W, dtype=np.uint16).astype(np.float32)
    picture[3, 4] = np.nan
    got = thermal_from_message(message("32FC1", picture, bigendian=bigendian, padding=8))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, picture)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_the_colour_that_was_seen(pattern, bits, dtype):
    colour = {"r": 0.9, "g": 0.5, "b": 0.1}
    full = np.iinfo(dtype).max
    mosaic = np.empty((H, W), dtype)
    for position, letter in enumerate(pattern):
        mosaic[position // 2 :: 2, position % 2 :: 2] = round(colour[letter] * full)
    got = image_from_message(message(f"bayer_{pattern}{bits}", mosaic, padding=2))
    assert got.shape == (H, W, 3)
    assert got.dtype == np.dtype(dtype)
    middle = got[2:-2, 2:-2].reshape(-1, 3) / full
    np.testing.assert_allclose(middle, np.tile([0.9, 0.5, 0.1], (len(middle), 1)), atol=0.01)


def packed_yuv(rgb, order):
    """4:2:2 made of the one OpenCV conversion that the code under test does not use."""
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    y, u, v = yuv[:H], yuv[H : H + H // 4].reshape(H // 2, W // 2), yuv[H + H // 4 :].reshape(H // 2, W // 2)
    u, v = np.repeat(u, 2, axis=0), np.repeat(v, 2, axis=0)
    planes = {"y0": y[:, ::2], "u": u, "y1": y[:, 1::2], "v": v}
    return np.stack([planes[name] for name in order], axis=-1).reshape(H, W * 2)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("yuv422", ["u", "y0", "v", "y1"]), ("uyvy", ["u", "y0", "v", "y1"]),
        ("yuv422_yuy2", ["y0", "u", "y1", "v"]), ("yuyv", ["y0", "u", "y1", "v"]),
    ],
)  # fmt: skip
def test_yuv422_gives_the_colour_that_was_seen(encoding, order):
    rgb = smooth_rgb()
    got = image_from_message(message(encoding, packed_yuv(rgb, order), padding=4))
    assert got.shape == rgb.shape
    assert np.abs(got.astype(int) - rgb).mean() < 8


@pytest.mark.parametrize(("encoding", "first"), [("nv12", "u"), ("nv21", "v")])
def test_two_plane_yuv_gives_the_colour_that_was_seen(encoding, first):
    rgb = smooth_rgb()
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    u, v = yuv[H : H + H // 4].reshape(H // 2, W // 2), yuv[H + H // 4 :].reshape(H // 2, W // 2)
    chroma = np.stack([u, v] if first == "u" else [v, u], axis=-1).reshape(H // 2, W)
    got = image_from_message(message(encoding, np.concatenate([yuv[:H], chroma]), padding=3))
    assert got.shape == rgb.shape
    assert np.abs(got.astype(int) - rgb).mean() < 8


def test_pixels_that_need_no_conversion_are_not_copied():
    sent = message("rgb8", noise(H, W, 3), padding=5)
    assert np.shares_memory(image_from_message(sent), np.frombuffer(sent.data, np.uint8))


def test_last_row_may_come_without_padding_and_step_may_be_zero():
    picture = noise(H, W)
    sent = message("mono8", picture, padding=4)
    del sent.data[-4:]
    np.testing.assert_array_equal(image_from_message(sent), picture)
    np.testing.assert_array_equal(image_from_message(message("mono8", picture, step=0)), picture)


def test_messages_of_rosbags_are_understood():
    types = get_typestore(Stores.ROS2_JAZZY).types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](3, 5), "cam")
    picture = noise(H, W, dtype=np.uint16)
    raw = types["sensor_msgs/msg/Image"](header, H, W, "mono16", 0, W * 2, picture.view(np.uint8).reshape(-1))
    np.testing.assert_array_equal(image_from_message(raw), picture)
    assert stamp_ns(raw) == 3_000_000_005
    png = cv2.imencode(".png", picture)[1].reshape(-1)
    packed = types["sensor_msgs/msg/CompressedImage"](header, "mono16; png compressed ", png)
    np.testing.assert_array_equal(thermal_from_message(packed), picture)


# Roles


def test_a_colour_camera_may_send_grey_and_16_bits():
    grey = noise(H, W)
    np.testing.assert_array_equal(rgb_from_message(message("mono8", grey)), np.stack([grey] * 3, -1))
    deep = noise(H, W, 3, dtype=np.uint16)
    got = rgb_from_message(message("rgb16", deep))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, deep // 256)


def test_a_thermal_camera_may_send_video():
    grey = noise(H, W)
    np.testing.assert_array_equal(thermal_from_message(message("bgr8", np.stack([grey] * 3, -1))), grey)


def test_float_is_no_colour_image():
    with pytest.raises(BadMessageError, match="no colour image"):
        check_rgb_message(message("32FC1", np.zeros((H, W), np.float32)))


# Compressed


def test_jpeg_and_png_are_decoded():
    rgb = smooth_rgb()
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    jpeg = compressed("rgb8; jpeg compressed bgr8", cv2.imencode(".jpg", bgr)[1])
    assert np.abs(rgb_from_message(jpeg).astype(int) - rgb).mean() < 8
    png = compressed("png", cv2.imencode(".png", bgr)[1])
    np.testing.assert_array_equal(rgb_from_message(png), rgb)
    bgra = compressed("png", cv2.imencode(".png", cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA))[1])
    np.testing.assert_array_equal(rgb_from_message(bgra), rgb)


def test_16_bit_thermal_survives_png_and_is_refused_as_jpeg():
    deep = noise(H, W, dtype=np.uint16)
    png = compressed("16UC1; png compressed ", cv2.imencode(".png", deep)[1])
    np.testing.assert_array_equal(thermal_from_message(png), deep)
    jpeg = compressed("mono16; jpeg compressed mono8", cv2.imencode(".jpg", (deep >> 8).astype(np.uint8))[1])
    for refuse in (check_thermal_message, thermal_from_message):
        with pytest.raises(BadMessageError, match="png") as error:
            refuse(jpeg)
        assert error.value.reason == "jpeg_16bit"


def test_8_bit_thermal_may_be_jpeg():
    grey = cv2.cvtColor(smooth_rgb(), cv2.COLOR_RGB2GRAY)
    got = thermal_from_message(compressed("mono8; jpeg compressed mono8", cv2.imencode(".jpg", grey)[1]))
    assert np.abs(got.astype(int) - grey).mean() < 4


# What is refused


def changed(**fields):
    sent = message("rgb8", noise(H, W, 3))
    for name, value in fields.items():
        setattr(sent, name, value)
    return sent


@pytest.mark.parametrize(
    ("sent", "reason", "named"),
    [
        (changed(height=0), "empty", "16x0"),
        (changed(width=0), "empty", "0x12"),
        (changed(data=array.array("B")), "short_data", "0 bytes"),
        (changed(data=array.array("B", bytes(H * W * 3 - 1))), "short_data", "575 bytes"),
        (changed(height=H + 1), "short_data", "16x13"),
        (changed(step=W * 3 - 1), "step", "step is 47"),
        (changed(encoding="bgr88"), "encoding", "known: mono8"),
        (changed(encoding=""), "encoding", "known: mono8"),
        (changed(encoding="8UC3"), "encoding", "8UC3"),
        (changed(encoding="32FC3"), "encoding", "32FC3"),
        (message("mono16", noise(H, W, dtype=np.uint16), padding=1), "step", "in two"),
        (message("uyvy", noise(H, W * 2), width=15), "size", "even"),
        (message("nv12", noise(H + 6, W), height=13), "size", "even"),
        (message("nv12", noise(H, W)), "short_data", "nv12"),
        (compressed("jpeg", b""), "empty", "without data"),
        (compressed("h264", b"\0\0\0\1 and so on"), "encoding", "neither JPEG nor PNG"),
        (compressed("jpeg", cv2.imencode(".jpg", smooth_rgb())[1][:-40].tobytes()), "short_data", "end marker"),
        (compressed("png", cv2.imencode(".png", smooth_rgb())[1][:-40].tobytes()), "short_data", "end marker"),
    ],
)  # fmt: skip
def test_bad_messages_are_refused_by_a_look_at_them(sent, reason, named):
    with pytest.raises(BadMessageError, match=named) as error:
        check_message(sent)
    assert error.value.reason == reason
    assert "\n" not in str(error.value)
    with pytest.raises(BadMessageError):
        image_from_message(sent)


def test_garbage_between_the_markers_is_refused_by_decoding():
    for kind, start, end in (
        ("jpeg", b"\xff\xd8\xff\xe0", b"\xff\xd9"),
        ("png", b"\x89PNG\r\n\x1a\n", b"IEND"),
    ):
        sent = compressed(kind, start + bytes(200) + end)
        check_message(sent)
        with pytest.raises(BadMessageError) as error:
            image_from_message(sent)
        assert error.value.reason == "undecodable"


def test_every_encoding_survives_random_sizes_of_data():
    """Whatever the fields say: a picture of that size, or a BadMessageError, never another exception."""
    rng = np.random.default_rng(1)
    names = [*layouts(), "nonsense"]
    decoded = 0
    for _ in range(600):
        sent = message(names[rng.integers(len(names))], noise(1, 1))
        sent.height, sent.width = (int(edge) for edge in rng.integers(0, 9, 2))
        sent.step = int(rng.integers(0, 80))
        sent.is_bigendian = int(rng.integers(2))
        sent.data = array.array("B", bytes(int(rng.integers(0, 900))))
        try:
            image = image_from_message(sent)
        except BadMessageError:
            continue
        decoded += 1
        assert image.shape[:2] == (sent.height, sent.width)
    assert decoded > 30
