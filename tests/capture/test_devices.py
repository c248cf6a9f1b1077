from edgeaff.capture.devices import CameraInfo, list_cameras, list_microphones
from edgeaff.capture.uri import parse_uri
from tests.capture.test_microphone import FakePortAudio


def test_cameras_are_listed_by_number_without_metadata_devices(tmp_path):
    for number, index, name in ((0, "0", "USB Camera"), (1, "1", "USB Camera"), (2, "0", "CSI"), (10, "0", "Ten")):
        (tmp_path / f"video{number}").touch()
        about = tmp_path / "sys" / f"video{number}"
        about.mkdir(parents=True)
        (about / "index").write_text(f"{index}\n")
        (about / "name").write_text(f"{name}\n")
    cameras = list_cameras(folder=str(tmp_path), sysfs=str(tmp_path / "sys"))
    assert [camera.name for camera in cameras] == ["USB Camera", "CSI", "Ten"]
    assert cameras[0] == CameraInfo(f"camera:{tmp_path}/video0", "USB Camera")
    assert parse_uri(cameras[0].uri).scheme == "camera"


def test_microphones_are_listed_with_their_native_rate():
    microphones = list_microphones(FakePortAudio())
    assert [(info.name, info.native_rate_hz, info.is_default) for info in microphones] == [
        ("Built-in Audio", 44_100, True),
        ("USB PnP Audio Device", 44_100, False),
    ]
    assert parse_uri(microphones[1].uri).target == "USB PnP Audio Device"


def test_no_microphone_is_an_empty_list():
    fake = FakePortAudio()
    fake.plugged = False
    assert list_microphones(fake) == []
