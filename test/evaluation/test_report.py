"""The report page, in a real browser where one is installed."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.depth_picture import LEGEND_PX
from thermal_fusion_ros.evaluation.latency import Bar, LatencyGroup
from thermal_fusion_ros.evaluation.report import Comparison, Depth, render

NAMES = ("plain", "b", "c", "quote'\"&<i>")  # file names are not HTML
METRICS = ("EN", "Qabf", "N_abf", "VIF")


def comparison(folder: Path) -> Comparison:
    """Two methods of ours and two peers on four pictures; the peers lack N_abf."""
    pictures: dict[str, dict[str, Path]] = {}
    for i, name in enumerate(NAMES):
        pictures[name] = {}
        for j, label in enumerate(("visible", "thermal", "first", "second")):
            path = folder / f"{i}{j}.png"
            cv2.imwrite(str(path), np.full((60, 80, 3), 40 * i + 20 * j, np.uint8))
            pictures[name][label] = path

    def scores(offset: float, metrics: tuple[str, ...]) -> dict[str, dict[str, float]]:
        return {
            name: {m: offset + 0.1 * i + 0.01 * k for k, m in enumerate(metrics)}
            for i, name in enumerate(NAMES)
        }

    peer_metrics = ("EN", "Qabf", "VIF")
    bars = (Bar("engine", 20.0, 25.0, 60.0, 15.0), Bar("frame", 30.0, None, 90.0, 0.0))
    return Comparison(
        title="Ours <and> theirs",
        metrics=METRICS,
        ours={"first": scores(2, METRICS), "second": scores(10, METRICS)},
        peers={"peer": scores(1, peer_metrics), "zz": scores(3, peer_metrics)},
        pictures=pictures,
        latency=(LatencyGroup("bench", bars, 95.0),),
        skipped=("first: x: <b>broken</b>",),
        prompts={
            "plain": {
                "no prompt": np.zeros((60, 80, 3), np.uint8),
                "“<car>”": np.zeros((60, 80, 3), np.uint8),
            }
        },
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(render(comparison(folder), width=64), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="no browser test: selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next((path for name in names if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no browser test: no Chromium with chromedriver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def opened(browser, page: Path):
    """The page, freshly loaded; whatever a test does to it, the console must stay silent."""
    browser.get(page.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def texts(browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(element => element.textContent)"
    return [" ".join(text.split()) for text in browser.execute_script(script, selector)]


def click(browser, selector: str, index: int = 0) -> None:
    browser.find_elements("css selector", selector)[index].click()


def choose(browser, identity: str, value: str) -> None:
    browser.find_element("css selector", f"#{identity} option[value='{value}']").click()


def test_every_picture_is_there_and_shown(opened) -> None:
    sizes = opened.execute_async_script(
        """const done = arguments[0], images = [...document.images];
        images.forEach(image => { image.loading = "eager"; });
        Promise.all(images.map(image => image.decode()))
          .then(() => done(images.map(image => [image.naturalWidth, image.naturalHeight])),
                error => done(String(error)));"""
    )
    assert sizes == [[80, 60]] * 2 + [[64, 48]] * 16
    assert texts(opened, ".sheet:first-child figcaption") == ["visible", "thermal", "first", "second"]


def test_names_are_text(opened) -> None:
    assert texts(opened, "h1") == ["Ours <and> theirs"]
    assert sorted(texts(opened, ".sheet h3")) == sorted(NAMES)
    assert "first: x: <b>broken</b>" in texts(opened, "#skipped li")
    assert opened.execute_script("return document.querySelectorAll('.sheet i, #skipped b').length") == 0


def test_means_sort_by_value_both_ways_and_by_name(opened) -> None:
    rows = "#means tbody th"
    assert texts(opened, rows) == ["first", "second", "peer", "zz"]
    click(opened, "#means thead button", 1)  # EN, more is better
    assert texts(opened, rows) == ["second", "zz", "first", "peer"]
    assert opened.find_elements("css selector", "#means th")[1].get_attribute("aria-sort") == "descending"
    click(opened, "#means thead button", 1)
    assert texts(opened, rows) == ["peer", "first", "zz", "second"]
    click(opened, "#means thead button", 3)  # N_abf, less is better; the peers have none
    assert texts(opened, rows)[:2] == ["first", "second"]
    click(opened, "#means thead button", 3)
    assert texts(opened, rows)[:2] == ["second", "first"]
    click(opened, "#means thead button", 0)
    assert texts(opened, rows) == ["first", "peer", "second", "zz"]


def test_ranks_are_shown(opened) -> None:
    assert texts(opened, "#means tbody tr:nth-child(2) td small") == ["1", "1", "2", "1"]
    assert texts(opened, "#means td.best") != []


def test_a_point_opens_its_picture(opened) -> None:
    assert len(texts(opened, "#plot circle")) == 4 * 4
    point = opened.find_element("css selector", "#plot circle[data-method=zz][data-picture=c]")
    opened.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", point)
    assert texts(opened, "#viewer-title") == ["c"]
    assert texts(opened, "#viewer figcaption") == ["visible", "thermal", "first", "second"]
    assert texts(opened, "#viewer tbody tr:first-child td")[0] == "2.200"
    click(opened, "#next")
    assert texts(opened, "#viewer-title") == ["plain"]
    click(opened, "#close")
    assert opened.execute_script("return document.getElementById('viewer').open") is False


def test_the_keyboard_reaches_a_point(opened) -> None:
    point = opened.find_element("css selector", "#plot circle[data-picture=b]")
    opened.execute_script("arguments[0].focus()", point)
    opened.switch_to.active_element.send_keys("\n")
    assert texts(opened, "#viewer-title") == ["b"]


def test_the_axes_follow_the_chosen_metrics(opened) -> None:
    choose(opened, "x-metric", "N_abf")
    assert len(texts(opened, "#plot circle")) == 2 * 4  # the peers have none
    assert "N_abf" in texts(opened, "#plot text")
    click(opened, "#legend input")
    assert len(texts(opened, "#plot circle")) == 4


def test_points_lie_inside_the_plot_and_in_the_order_of_their_values(opened) -> None:
    circles = "[...document.querySelectorAll('#plot circle')]"
    script = f"return {circles}.map(c => ['cx', 'cy'].map(name => Number(c.getAttribute(name))))"
    values = np.array(opened.execute_script(script))
    assert ((values >= 0) & (values <= (860, 480))).all()
    first, second = values[:4], values[4:8]
    assert (np.diff(first[:, 0]) != 0).all()
    assert first[:, 0].max() < second[:, 0].min()  # the second method has more of it
    assert first[:, 1].min() > second[:, 1].max()  # and up is more


def test_latency_bars(opened) -> None:
    widths = opened.execute_script(
        "return [...document.querySelectorAll('.bar')].map(x => x.getBoundingClientRect().width)"
    )
    assert widths[1] / widths[0] == pytest.approx(1.5, rel=0.02)
    assert texts(opened, ".bar-value") == ["20.0 ms p99 25.0", "30.0 ms"]


def test_the_table_per_picture_sorts_and_opens(opened) -> None:
    choose(opened, "scores-method", "peer")
    click(opened, "#scores-table thead button", 1)
    assert texts(opened, "#scores-table tbody th")[0] == NAMES[3]
    click(opened, "#scores-table tbody tr")
    assert texts(opened, "#viewer-title") == [NAMES[3]]


def test_sheets_are_ordered_and_filtered(opened) -> None:
    choose(opened, "order-metric", "EN")
    assert texts(opened, ".sheet h3") == list(NAMES)  # the worst of "first" on top
    choose(opened, "order-metric", "N_abf")
    assert texts(opened, ".sheet h3") == list(NAMES)[::-1]
    click(opened, "#best-first")
    assert texts(opened, ".sheet h3") == list(NAMES)
    opened.find_element("id", "filter").send_keys("PLA")
    assert (
        opened.execute_script("return [...document.querySelectorAll('.sheet')].filter(x => !x.hidden).length")
        == 1
    )


def test_the_page_needs_nothing_from_anywhere(page: Path) -> None:
    html = page.read_text()
    links = re.findall(r"""(?:src|href)=["']([^"']*)""", html)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "default-src 'none'" in html


def test_pictures_are_shrunk_but_never_enlarged(tmp_path: Path) -> None:
    html = render(comparison(tmp_path), width=500)
    data = re.search(r"base64,([^\"]+)", html)
    assert data
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data.group(1)), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (60, 80, 3)


def test_methods_without_a_common_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture in common"):
        render(Comparison("t", ("EN",), {"a": {"x": {"EN": 1.0}}}, {}, peers={"b": {"y": {"EN": 1.0}}}))


def test_prompts_stand_side_by_side(opened) -> None:
    assert texts(opened, "#prompts figcaption") == ["no prompt", "“<car>”"]
    assert texts(opened, "#prompts h3") == ["plain"]


@pytest.mark.parametrize("metric", [True, False])
def test_depth_has_a_legend_below(tmp_path: Path, metric: bool) -> None:
    np.save(tmp_path / "depth.npy", np.full((60, 80), 3.0, np.float32))
    shown = replace(
        comparison(tmp_path), pictures={"plain": {"depth": Depth(tmp_path / "depth.npy", metric)}}
    )
    assert f'width="64" height="{48 + LEGEND_PX}" alt="depth, plain"' in render(shown, width=64)


def test_depth_that_is_no_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "depth.npy").write_text("no numbers")
    shown = replace(comparison(tmp_path), pictures={"plain": {"depth": Depth(tmp_path / "depth.npy", True)}})
    with pytest.raises(InputError, match=r"depth\.npy: not an array of depth"):
        render(shown)
