"""The metrics on cases that can be worked out by hand, on degenerate images, and beside the obvious implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import convolve2d

from benchmark import straightforward_metrics
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON, METRICS, VARIANTS, SourcePair, score

SIDE = 48


def flat(value: float) -> np.ndarray:
    return np.full((SIDE, SIDE), value)


def halves(low: float = 0.0, high: float = 255.0) -> np.ndarray:
    image = flat(low)
    image[:, SIDE // 2 :] = high
    return image


def textured(seed: int, shape: tuple[int, int] = (61, 83)) -> np.ndarray:
    """Smooth blobs and grain, whole numbers 0-255."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = sum(np.sin(x / random.uniform(3, 20) + y / random.uniform(3, 20)) for _ in range(4))
    return np.clip(np.rint(128 + 25 * waves + random.normal(0, 8, shape)), 0, 255)


def one(
    metric: str, fused: np.ndarray, visible: np.ndarray | None = None, thermal: np.ndarray | None = None
) -> float:
    visible = fused if visible is None else visible
    return score(fused, visible, visible if thermal is None else thermal, [metric])[metric]


def test_entropy_is_one_bit_for_two_equally_frequent_levels_and_two_for_four() -> None:
    assert one("EN", halves()) == pytest.approx(1.0)
    quarters = np.repeat(np.array([0.0, 10.0, 20.0, 30.0]), SIDE // 4)[None] * np.ones((SIDE, 1))
    assert one("EN", quarters) == pytest.approx(2.0)


def test_entropy_is_eight_bits_when_every_level_is_equally_frequent() -> None:
    assert one("EN", np.arange(256 * 41).reshape(41, 256) % 256.0) == pytest.approx(8.0)


def test_standard_deviation_is_the_population_one() -> None:
    assert one("SD", halves(0, 255)) == pytest.approx(127.5)


def test_spatial_frequency_of_stripes_is_their_contrast() -> None:
    stripes = flat(0.0)
    stripes[:, ::2] = 200.0
    assert one("SF", stripes) == pytest.approx(200.0)
    checkers = stripes.copy()
    checkers[1::2] = 200.0 - checkers[1::2]
    assert one("SF", checkers) == pytest.approx(200.0 * math.sqrt(2))


def test_average_gradient_of_a_ramp_is_its_slope_over_root_two() -> None:
    x = np.arange(SIDE) * 3.0 * np.ones((SIDE, 1))
    assert one("AG", x) == pytest.approx(3.0 / math.sqrt(2))


def test_average_gradient_differences_are_central_inside() -> None:
    """Alternating columns cancel in central differences; only the two border columns see the step of 100."""
    stripes = flat(0.0)
    stripes[:, 1::2] = 100.0
    assert one("AG", stripes) == pytest.approx(2 * 100.0 / SIDE / math.sqrt(2))


def test_mutual_information_is_in_nats_and_summed() -> None:
    assert one("MI", halves()) == pytest.approx(2 * math.log(2))
    top = halves().T
    assert one("MI", halves(), visible=halves(), thermal=top) == pytest.approx(
        math.log(2)
    )  # top is independent
    assert one("MI_bits", halves()) == pytest.approx(2.0)


def test_mutual_information_does_not_care_which_grey_values() -> None:
    assert one("MI", halves(3, 77), visible=halves(200, 100)) == pytest.approx(2 * math.log(2))


def test_normalised_information_is_one_per_source_that_the_fused_image_equals() -> None:
    assert one("NMI", halves(), visible=halves(), thermal=halves().T) == pytest.approx(1.0)


def test_scd_is_two_when_the_fused_image_is_the_sum_of_its_sources() -> None:
    visible, thermal = textured(1) / 2, textured(2) / 2
    assert one("SCD", visible + thermal, visible, thermal) == pytest.approx(2.0)


def test_scd_counts_a_flat_difference_as_no_correlation() -> None:
    visible, thermal = textured(1), textured(2)
    fused = visible.copy()  # fused - visible is flat; fused - thermal correlates with visible
    expected = straightforward_metrics.correlation(visible, visible - thermal)
    assert one("SCD", fused, visible, thermal) == pytest.approx(expected)
    assert one("SCD", visible, visible, visible) == 0.0


def test_vif_is_one_per_source_that_the_fused_image_equals() -> None:
    image = textured(3)
    assert one("VIF", image) == pytest.approx(2.0)
    assert one("VIF", np.full_like(image, 90), visible=image) == pytest.approx(0.0, abs=1e-9)


def test_vif_of_a_contrast_change_is_that_of_the_channel_model() -> None:
    """Doubled contrast has no distortion, only a gain: log(1 + 4 s / n) over log(1 + s / n) with variance s."""
    image = 60 + textured(4) / 4
    stronger = (image - 60) * 2 + 60
    assert one("VIF", stronger, visible=image) > 2.2
    assert one("VIF", image, visible=stronger) < 1.8


def test_qabf_of_a_picture_with_itself_is_limited_only_by_the_sigmoids() -> None:
    """Equal strengths count as the strength itself, which is far above 1 at every edge of this image."""
    strength, orientation = 0.9994, 0.9879 / (1 + math.exp(-22 * (1 - 0.8)))
    assert one("Qabf", halves(50, 200)) == pytest.approx(strength * orientation, rel=1e-9)


def test_qabf_uses_the_strength_itself_where_strengths_are_equal() -> None:
    """A ramp of 1/16 level per pixel has Sobel strength 1/2 everywhere inside, so G - 0.5 = 0 there."""
    ramp = np.arange(400) / 16.0 * np.ones((400, 1))
    inner = 0.9994 / 2 * 0.9879 / (1 + math.exp(-22 * 0.2))
    whole = straightforward_metrics.edge_preservation(ramp, ramp, ramp)
    assert one("Qabf", ramp) == pytest.approx(whole, rel=1e-9)
    outer = 0.9994 * 0.9879 / (1 + math.exp(-22 * 0.2))
    assert inner < whole < outer


def test_qabf_counts_orientations_next_to_a_right_angle_as_opposite() -> None:
    """The folded arctan has no wrap-around: +89 and -89 degrees are almost 180 apart, and agreement becomes -1."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    first, second = y * 4 + x * 0.05, y * 4 + (SIDE - x) * 0.05
    assert one("Qabf", second, visible=first) == pytest.approx(
        straightforward_metrics.edge_preservation(first, first, second), rel=1e-9
    )
    assert one("Qabf", second, visible=first) < 0.5 * one("Qabf", first)


def test_ssim_of_two_flat_images_is_the_luminance_term() -> None:
    a, b, c1 = 100.0, 140.0, (0.01 * 2) ** 2
    luminance = (2 * a * b + c1) / (a * a + b * b + c1)
    assert one("SSIM", flat(a), visible=flat(b)) == pytest.approx(2 * luminance, rel=1e-7)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * a * b + c1) / (a * a + b * b + c1)
    assert one("SSIM_255", flat(a), visible=flat(b)) == pytest.approx(luminance, rel=1e-7)


def test_ssim_uses_sample_variances_and_data_range_two() -> None:
    """Around one bright dot on black: x = y/2, so only constants and the 49/48 tell the definitions apart."""
    first, second = flat(0.0), flat(0.0)
    first[24, 24], second[24, 24] = 2.0, 1.0
    mean1, mean2, sample = 2 / 49, 1 / 49, 49 / 48
    variance1, variance2 = sample * (4 / 49 - mean1**2), sample * (1 / 49 - mean2**2)
    covariance = sample * (2 / 49 - mean1 * mean2)
    c1, c2 = 0.0004, 0.0036
    near = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    near /= (mean1**2 + mean2**2 + c1) * (variance1 + variance2 + c2)
    windows = (SIDE - 6) ** 2
    assert one("SSIM", first, visible=second) == pytest.approx(
        2 * (49 * near + windows - 49) / windows, rel=1e-12
    )


def test_ssim_255_is_wangs_with_an_eleven_pixel_gaussian() -> None:
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()
    first, second, third = textured(1), textured(2), textured(3)

    def wang(a: np.ndarray, b: np.ndarray) -> float:
        def mean(image: np.ndarray) -> np.ndarray:
            return convolve2d(image, window, mode="valid")

        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        covariance = mean(a * b) - mean(a) * mean(b)
        variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
        similar = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
        return float((similar * (2 * covariance + c2) / (variances + c2)).mean())

    expected = (wang(first, second) + wang(first, third)) / 2
    assert one("SSIM_255", first, visible=second, thermal=third) == pytest.approx(expected, rel=1e-9)


def test_artefacts_are_as_published() -> None:
    """The published code, with its own constants, on a picture with edges of every strength and direction."""
    images = [textured(seed) for seed in (1, 2, 3)]
    images[0][20:30, 20:40] = 0.0  # flat ground
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8

    def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.pad(image, 1, mode="reflect")
        x, y = convolve2d(padded, kernel, mode="valid"), convolve2d(padded, kernel.T, mode="valid")
        with np.errstate(divide="ignore", invalid="ignore"):
            angle = np.where((x == 0) & (y == 0), 0, np.arctan(x / y))
        return np.sqrt(x**2 + y**2), angle

    (g_f, a_f), *sources = (edges(image) for image in images)
    lost = total = 0.0
    new = np.logical_and.reduce([g_f > g for g, _ in sources])
    for g, a in sources:
        with np.errstate(divide="ignore", invalid="ignore"):
            strength = np.where((g == 0) | (g_f == 0), 0, np.where(g > g_f, g_f / g, g / g_f))
        orientation = np.abs(np.abs(a - a_f) - np.pi / 2) * 2 / np.pi
        q_strength = 0.9999 / (1 + np.exp(-19 * (strength - 0.5)))
        q_orientation = 0.9995 / (1 + np.exp(-22 * (orientation - 0.5)))
        weight = np.where(g >= 2, g**1.5, 0.001)
        lost += (new * (1 - np.sqrt(q_strength * q_orientation)) * weight).sum()
        total += weight.sum()
    assert one("N_abf", *images) == pytest.approx(lost / total, rel=1e-9)


def test_artefacts_are_none_without_new_edges_and_all_when_the_sources_are_flat() -> None:
    assert one("N_abf", textured(5)) == 0.0
    stripes = flat(0.0)
    stripes[:, ::4] = stripes[:, 1::4] = 200.0  # a gradient everywhere but in the two mirrored border columns
    assert one("N_abf", stripes, visible=flat(100)) == pytest.approx((SIDE - 2) / SIDE, abs=1e-4)


def test_artefacts_are_weighted_by_source_strength_to_the_power_of_one_and_a_half() -> None:
    """Half of the columns hold a strong source edge kept as it is; elsewhere the sources are flat: almost no weight."""
    source = halves(0, 200)
    fused = source.copy()
    fused[:, 4] = 90.0  # an invented line where the weight is 0.001
    strong = 2 * SIDE * (4 * 200 / 8) ** 1.5  # two columns of Sobel strength 4 * 200, over 8
    invented = 2 * SIDE * 0.001
    assert one("N_abf", fused, visible=source) == pytest.approx(invented / strong, rel=0.01)


@pytest.mark.parametrize("seed", [10, 11])
def test_the_fast_metrics_equal_the_obvious_ones(seed: int) -> None:
    fused, visible, thermal = textured(seed), textured(seed + 10), textured(seed + 20)
    fast, slow = score(fused, visible, thermal), straightforward_metrics.score(fused, visible, thermal)
    assert list(fast) == list(COMMON) == list(slow)
    assert fast == pytest.approx(slow, rel=1e-9)


def test_float_images_are_not_rounded_where_the_definition_does_not_say_so() -> None:
    # Halves and quarters are exact in binary, so equal gradients stay equal, on which Qabf depends.
    fused, visible, thermal = (textured(seed) * 0.5 + 1.25 for seed in (1, 2, 3))
    fast, slow = score(fused, visible, thermal), straightforward_metrics.score(fused, visible, thermal)
    for name in set(COMMON) - {"MI"}:  # its obvious form bins instead of rounding
        assert fast[name] == pytest.approx(slow[name], rel=1e-9), name


def test_a_source_pair_gives_the_same_numbers_for_every_fused_picture_it_is_used_on() -> None:
    visible, thermal = textured(1), textured(2)
    pair = SourcePair(visible, thermal)
    for seed in (3, 4, 3):
        assert pair.score(textured(seed)) == score(textured(seed), visible, thermal)


def test_bytes_and_floats_of_the_same_values_score_the_same() -> None:
    images = [textured(seed) for seed in (1, 2, 3)]
    assert score(*images) == score(*(image.astype(np.uint8) for image in images))


@pytest.mark.parametrize(
    "fused",
    [flat(0), flat(128), flat(255), textured(1, (SIDE, SIDE))],
    ids=["black", "grey", "white", "textured"],
)
@pytest.mark.parametrize(
    "visible", [flat(0), flat(255), textured(2, (SIDE, SIDE))], ids=["black", "white", "textured"]
)
@pytest.mark.parametrize("thermal", [flat(0), textured(3, (SIDE, SIDE))], ids=["black", "textured"])
@pytest.mark.filterwarnings("error")
def test_degenerate_images_give_finite_numbers_in_range(
    fused: np.ndarray, visible: np.ndarray, thermal: np.ndarray
) -> None:
    values = score(fused, visible, thermal, METRICS)
    assert all(math.isfinite(value) for value in values.values())
    bounds = {"EN": 8, "SD": 127.5, "Qabf": 1, "N_abf": 1, "FMI_pixel": 1.000001, "NMI": 2}
    for name, high in bounds.items():
        assert 0 <= values[name] <= high, name
    for name, high in {"SCD": 2, "SSIM": 2, "SSIM_255": 1}.items():
        assert abs(values[name]) <= high + 1e-12, name
    if fused.std() == 0:
        assert {values[name] for name in ("EN", "SD", "SF", "AG", "MI")} == {0.0}
    if visible.std() == thermal.std() == 0:
        assert values["VIF"] == 2.0


def test_two_black_sources_have_no_edges_to_keep() -> None:
    assert score(textured(1, (SIDE, SIDE)), flat(0), flat(0), ["Qabf"]) == {"Qabf": 0.0}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (np.zeros((SIDE, SIDE, 3)), "not a grey image"),
        (np.zeros((40, 100)), "too small"),
        (np.full((SIDE, SIDE), np.nan), "outside 0-255"),
        (np.full((SIDE, SIDE), np.inf), "outside 0-255"),
        (np.full((SIDE, SIDE), 256.0), "outside 0-255"),
        (np.full((SIDE, SIDE), -1.0), "outside 0-255"),
        (np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE), "0-1 scale"),
        (np.zeros((SIDE, SIDE), bool), "not grey values"),
        (np.zeros((SIDE, SIDE + 1)), "one size"),
    ],
)
def test_what_is_no_grey_image_of_the_right_size_is_refused_by_name(broken: np.ndarray, words: str) -> None:
    good = textured(1, (SIDE, SIDE))
    with pytest.raises(InputError, match=words) as caught:
        score(broken, good, good)
    assert "fused" in str(caught.value)


def test_the_smallest_image_has_a_score() -> None:
    tiny = textured(1, (41, 41))
    assert one("VIF", tiny) == pytest.approx(2.0)


def test_an_unknown_metric_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"PSNR.*EN, SD"):
        score(flat(1), flat(1), flat(1), ["PSNR"])


def test_every_metric_is_common_or_a_variant() -> None:
    assert set(METRICS) == {*COMMON, *VARIANTS}
