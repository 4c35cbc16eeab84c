import pytest
import torch
from safetensors.torch import load_file

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.models.checkpoint import load_depth, save_depth
from thermal_fusion_ros.models.depth import DepthNet


@pytest.fixture
def rounds(tmp_path):
    """Two files of one network, other weights in each."""
    for name, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(seed)
        save_depth(tmp_path / f"{name}.safetensors", DepthNet(), "fused", {"step": seed})
    return str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")


def test_every_tensor_lies_between_as_the_share_says(rounds, tmp_path, capsys):
    out = tmp_path / "new" / "mean.safetensors"
    assert main(["average", *rounds, "--share", "0.25", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    first, second, mean = load_file(rounds[0]), load_file(rounds[1]), load_file(out)
    assert mean.keys() == first.keys()
    moved = 0
    for name, tensor in mean.items():
        assert tensor.dtype == first[name].dtype
        if tensor.is_floating_point():
            torch.testing.assert_close(
                tensor.float(), 0.75 * first[name].float() + 0.25 * second[name].float(), atol=1e-3, rtol=1e-3
            )
            moved += not torch.equal(tensor, first[name])
    assert moved > 10
    assert load_depth(out).spectrum == "fused"


def test_a_share_of_nothing_is_the_first_file(rounds, tmp_path):
    out = tmp_path / "mean.safetensors"
    assert main(["average", *rounds, "--share", "0", "--out", str(out)]) == 0
    first = load_file(rounds[0])
    assert all(torch.equal(tensor, first[name]) for name, tensor in load_file(out).items())


@pytest.mark.parametrize(
    ("second", "share", "named"),
    [
        ("depth_visible", "0.5", "spectrum is 'visible'"),
        ("objects", "0.5", "architecture is 'objects'"),
        ("unknown", "0.5", "unknown.safetensors: not a readable weight file"),
        ("depth_fused", "1.5", "share 1.5"),
    ],
)
def test_what_cannot_be_averaged_is_named_and_nothing_written(second, share, named, rounds, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    assert main(["average", rounds[0], second, "--share", share, "--out", str(out)]) == 2
    assert named in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "why"),
    [("a.safetensors/new/mean.safetensors", "is not a folder"), (".", "is a folder; name a file")],
)
def test_a_place_where_no_file_can_be_is_named_before_anything_is_read(out, why, rounds, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    assert main(["average", *rounds, "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path / out}: " in error
    assert why in error
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_made_is_named(rounds, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "pathlib.Path.mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "disk full"))
    )
    assert main(["average", *rounds, "--out", str(tmp_path / "new/mean.safetensors")]) == 2
    assert f"{tmp_path / 'new'}: not a folder that can be written: disk full" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_what_was_there(rounds, tmp_path, capsys, full_disk):
    out = tmp_path / "mean.safetensors"
    out.write_bytes(b"what was there")
    with full_disk(10_000):
        assert main(["average", *rounds, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"thermal-fusion: {out}: not written: File too large; make room")
    assert out.read_bytes() == b"what was there"
    assert not list(tmp_path.glob("*.partial"))
