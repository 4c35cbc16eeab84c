"""The DDS set-up that large images need, as environment variables for the processes that publish or receive them.

With Fast DDS defaults the shared-memory segment is smaller than one 640x480 colour image, and most images are lost on
the way; `config/fastdds.xml` makes it large. The middleware reads the variables once, when a process makes its first
node, so they belong into the environment of a child process (or must be set before `rclpy.init`).
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from thermal_fusion_ros.share import share_file

# Fast DDS 2 (up to Jazzy) reads the first, Fast DDS 3 (from Kilted on) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def profile() -> Path:
    """The Fast DDS profile that ships with the package."""
    return share_file("config/fastdds.xml")


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of `base` (default: this process's environment) in which Fast DDS uses the shipped profile.

    Whoever has named a profile of their own keeps it.
    """
    result = dict(os.environ if base is None else base)
    if not any(result.get(name) for name in PROFILE_VARIABLES):
        result.update(dict.fromkeys(PROFILE_VARIABLES, str(profile())))
    return result


def segment_bytes(profile_xml: Path) -> int:
    """Smallest shared-memory segment among the SHM transports of a Fast DDS profile, in bytes; 0 if it has none."""
    sizes = []
    for transport in ET.parse(profile_xml).iter():
        if _tag(transport) != "transport_descriptor":
            continue
        values = {_tag(child): (child.text or "").strip() for child in transport}
        if values.get("type", "").upper() == "SHM":
            sizes.append(int(values.get("segment_size", 0)))
    return min(sizes, default=0)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
