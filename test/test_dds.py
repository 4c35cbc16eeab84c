"""The DDS profile is well-formed, large enough, and yields to the user's own."""

from pathlib import Path

from thermal_fusion_ros import dds

LARGEST_USUAL_IMAGE = 1920 * 1080 * 3


def test_shipped_profile_holds_several_large_images() -> None:
    assert dds.segment_bytes(dds.profile()) >= 4 * LARGEST_USUAL_IMAGE


def test_environment_names_the_profile_and_keeps_the_rest() -> None:
    env = dds.environment({"PATH": "/bin"})
    assert env.pop("PATH") == "/bin"
    assert env == dict.fromkeys(dds.PROFILE_VARIABLES, str(dds.profile()))


def test_a_profile_of_the_users_own_wins() -> None:
    own = {"FASTRTPS_DEFAULT_PROFILES_FILE": "/etc/robot.xml"}
    assert dds.environment(own) == own


def test_environment_leaves_its_argument_alone() -> None:
    base: dict[str, str] = {}
    dds.environment(base)
    assert base == {}


def test_smallest_segment_counts(tmp_path: Path) -> None:
    xml = tmp_path / "profile.xml"
    shm = "<transport_descriptor><type>SHM</type><segment_size>{}</segment_size></transport_descriptor>"
    udp = "<transport_descriptor><type>UDPv4</type></transport_descriptor>"
    xml.write_text(f"<dds>{shm.format(1000)}{udp}{shm.format(2000)}</dds>")
    assert dds.segment_bytes(xml) == 1000
    xml.write_text(f"<dds>{udp}</dds>")
    assert dds.segment_bytes(xml) == 0
