"""Folders in, numbers and reasons out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.catalogue import TARGETS, parse_metrics
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON, score
from thermal_fusion_ros.evaluation.pictures import grey_of, read_picture
from thermal_fusion_ros.evaluation.scoring import score_folders
from thermal_fusion_ros.evaluation.targets import Box


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Five pairs, 64x48, colour visible and fused pictures."""
    random = np.random.default_rng(5)
    for role in ("visible", "thermal", "fused"):
        (tmp_path / role).mkdir()
        for name in "abcde":
            image = cv2.GaussianBlur(random.integers(0, 256, (48, 64, 3)).astype(np.uint8), (0, 0), 1)
            cv2.imwrite(str(tmp_path / role / f"{name}.png"), image[..., 0] if role == "thermal" else image)
    return {role: tmp_path / role for role in ("visible", "thermal", "fused")}


def test_a_folder_scores_what_its_pictures_score(folders: dict[str, Path]) -> None:
    scores = score_folders(**folders)
    assert list(scores.per_image) == list("abcde")
    assert scores.skipped == []
    grey = (grey_of(read_picture(folders[role] / "c.png")) for role in ("fused", "visible", "thermal"))
    by_hand = score(*grey)
    assert scores.per_image["c"] == by_hand
    assert scores.mean["VIF"] == pytest.approx(np.mean([row["VIF"] for row in scores.per_image.values()]))


def test_processes_change_nothing(folders: dict[str, Path]) -> None:
    (folders["fused"] / "b.png").write_bytes(b"broken")
    alone, together = score_folders(**folders), score_folders(**folders, jobs=2)
    assert together.as_dict() == alone.as_dict()
    assert [item.name for item in together.skipped] == ["b"]


def test_a_bad_picture_costs_only_itself(folders: dict[str, Path]) -> None:
    (folders["thermal"] / "a.png").unlink()
    (folders["visible"] / "b.png").write_bytes(b"")
    cv2.imwrite(str(folders["fused"] / "d.png"), np.zeros((48, 65), np.uint8))
    scores = score_folders(**folders)
    assert list(scores.per_image) == ["c", "e"]
    why = {item.name: item.why for item in scores.skipped}
    assert list(why) == ["a", "b", "d"]
    assert "thermal" in why["a"]
    assert "empty" in why["b"]
    assert "fused is 65x48 px but visible is 64x48 px" in why["d"]


def test_colour_and_target_metrics_are_left_out_where_they_do_not_apply(folders: dict[str, Path]) -> None:
    cv2.imwrite(str(folders["visible"] / "a.png"), np.zeros((48, 64, 3), np.uint8))
    metrics = parse_metrics("EN,colour,targets")
    scores = score_folders(**folders, metrics=metrics, people={"b": [Box(10, 10, 20, 30)], "c": []})
    assert set(scores.per_image["a"]) == {"EN"}
    assert list(scores.per_image["b"]) == list(metrics)
    assert set(scores.per_image["c"]) == {"EN", "dE_chroma"}
    assert scores.as_dict()["pictures"] == {
        "EN": 5, "dE_chroma": 4, "SCR_visible": 1, "SCR_thermal": 1, "SCR_fused": 1
    }  # fmt: skip


def test_targets_need_labels(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="--labels"):
        score_folders(**folders, metrics=["SCR_fused"])


def test_progress_is_told_of_every_picture(folders: dict[str, Path]) -> None:
    seen = []

    def progress(results, total):
        for result in results:
            seen.append(total)
            yield result

    score_folders(**folders, metrics=["EN"], progress=progress)
    assert seen == [5] * 5


def test_metric_lists() -> None:
    assert parse_metrics("common") == COMMON
    assert parse_metrics("VIF, EN,VIF") == ("VIF", "EN")
    assert parse_metrics("all")[-len(TARGETS) :] == TARGETS
    with pytest.raises(InputError, match="unknown metric PSNR"):
        parse_metrics("EN,PSNR")
    with pytest.raises(InputError, match="no metric"):
        parse_metrics(" , ")
