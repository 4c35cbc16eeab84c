import json

import numpy as np

from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.account import account
from thermal_fusion_ros.language.scene import SeenObject

PERSON = SeenObject("person", (10.04, 5, 20, 40), 0.91, depth=6.0, metric=True, sigma=0.1, bearing_deg=20.0)
NEARBY = SeenObject("car", (40, 20, 60, 40), 0.8, depth=0.4)


def test_what_was_found_survives_json_and_only_metres_are_called_metres():
    picture = np.full((48, 64, 3), 128, np.uint8)
    perception = Perception(0, "", picture, picture[..., 0], objects=(PERSON, NEARBY))
    told = json.loads(json.dumps(account(picture, perception)))
    assert "a person" in told["caption"]
    person, car = told["objects"]
    assert (person["label"], person["box"], person["score"]) == ("person", [10.0, 5, 20, 40], 0.91)
    assert person["distance_m"] == round(6 / np.cos(np.radians(20)), 2)
    assert car["distance_m"] is None
    assert car["temperature_k"] is None
