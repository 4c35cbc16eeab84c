import json

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.training import data

NOUNS = [*data.CLASSES, "unicorn"]


@pytest.fixture
def dataset(tmp_path):
    """Two small registered pairs with a labelled person, and a vocabulary of random vectors."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for folder in ("train/vi", "train/ir", "labels", "clip_text"):
        (root / folder).mkdir(parents=True)
    for name in ("llvip_1", "roadscene_1"):
        visible = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (120, 100))
        thermal = np.full((100, 120), 50, np.uint8)
        thermal[30:70, 50:70] = 220
        cv2.imwrite(str(root / "train/vi" / f"{name}.jpg"), visible)
        cv2.imwrite(str(root / "train/ir" / f"{name}.jpg"), thermal)
    labels = {
        "train/llvip_1": [{"label": "person", "score": 0.9, "box": [50, 30, 70, 70], "seen_in": ["thermal"]}]
    }
    (root / "labels/detections.json").write_text(json.dumps(labels))
    np.savez(
        root / "clip_text/some_nouns.npz",
        names=np.array(NOUNS),
        vectors=rng.normal(size=(len(NOUNS), 512)).astype(np.float16),
    )
    return root
