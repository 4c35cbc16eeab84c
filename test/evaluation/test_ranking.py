"""Means, ranks and the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.ranking import as_markdown, as_text, compare, mean_of, read_peers

A = {"x": {"EN": 1.0, "N_abf": 0.1}, "y": {"EN": 3.0, "N_abf": 0.3}}
B = {"x": {"EN": 2.0, "N_abf": 0.4}, "y": {"EN": 2.0, "N_abf": 0.4}}
C = {"x": {"EN": 5.0}, "y": {"EN": 5.0}, "z": {"EN": 0.0}}


def test_ranks_by_the_metrics_own_direction_and_ties_share() -> None:
    table = compare({"A": A, "B": B, "C": C}, ["EN", "N_abf"])
    assert table.pictures == 2
    assert table.means["C"] == {"EN": 5.0}  # over the shared pictures only
    assert {name: row["EN"] for name, row in table.ranks.items()} == {"A": 2, "B": 2, "C": 1}
    assert {name: row.get("N_abf") for name, row in table.ranks.items()} == {"A": 1, "B": 2, "C": None}
    assert table.mean_rank("A") == 1.5


def test_a_metric_that_a_picture_lacks_is_not_counted_as_zero() -> None:
    assert mean_of({"x": {"EN": 1.0, "dE_chroma": 4.0}, "y": {"EN": 2.0}}) == {"EN": 1.5, "dE_chroma": 4.0}


def test_what_only_one_method_has_is_not_ranked() -> None:
    table = compare({"A": A, "C": C}, ["EN", "N_abf"])
    assert "N_abf" not in table.ranks["A"]


def test_less_colour_shift_is_better_and_the_sources_own_contrast_is_not_ranked() -> None:
    near = {"x": {"dE_chroma": 1.0, "SCR_visible": 2.0, "SCR_fused": 3.0}}
    far = {"x": {"dE_chroma": 9.0, "SCR_visible": 2.0, "SCR_fused": 1.0}}
    table = compare({"near": near, "far": far}, ["dE_chroma", "SCR_visible", "SCR_fused"])
    assert table.ranks == {"near": {"dE_chroma": 1, "SCR_fused": 1}, "far": {"dE_chroma": 2, "SCR_fused": 2}}


def test_methods_without_a_common_picture_are_refused() -> None:
    with pytest.raises(InputError, match="no picture in common"):
        compare({"A": A, "D": {"q": {"EN": 1.0}}}, ["EN"])


def test_the_table_in_text_and_markdown() -> None:
    table = compare({"A": A, "B": B, "long name": C}, ["EN", "N_abf"])
    text = as_text(table).splitlines()
    assert text[0].split() == ["method", "EN", "N_abf", "mean", "rank"]
    assert text[1].split() == ["A", "2.000", "(2)", "0.200", "(1)", "1.50"]
    assert text[3].split() == ["long", "name", "5.000", "(1)", "–", "1.00"]
    markdown = as_markdown(table).splitlines()
    assert len(markdown) == 5
    assert markdown[1].replace("-", "").replace(" ", "") == "||:|:|:|"
    assert all(line.count("|") == 5 for line in markdown)
    assert "(" not in as_text(table, ranked=False)


@pytest.mark.parametrize("content", ["", "{}", '{"methods": {"a": 1}}', '{"methods": [1]}'])
def test_another_kind_of_peers_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError, match="not a table of peers"):
        read_peers(tmp_path / "p.json")


def test_peers_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"methods": {"A": {"per_image": A, "mean": {}}}}))
    assert read_peers(tmp_path / "p.json") == {"A": A}
