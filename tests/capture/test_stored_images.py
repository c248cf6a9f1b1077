"""Images as the file stores them: pixels that are not square, eight orientations, tiles, damage, sizes beyond the machine."""

import contextlib
import io
import struct
from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture import image as image_module
from edgeaff.capture.heif import ANIMATION, read_heif
from edgeaff.capture.image import square_size
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.still import exif_orientation, image_size
from edgeaff.errors import MediaError
from edgeaff.types import VideoFrame
from tests.heif_maker import box, write_heif
from tests.media_maker import write_clip

pytestmark = pytest.mark.needs_media


def gradient(height: int, width: int) -> np.ndarray:
    """Smooth, so that codecs keep it, and different in each corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


def only_image(path) -> np.ndarray:
    (frame,) = list(MediaFile(path))
    return frame.image


def write_anamorphic(path, image, aspect, codec="mpeg4", pix_fmt="yuv420p"):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, width=image.shape[1], height=image.shape[0], pix_fmt=pix_fmt)
        stream.codec_context.sample_aspect_ratio = aspect
        for pts in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# --- pixels that are not square -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aspect", "size"),
    [((64, 45), (128, 72)), ((32, 11), (262, 72)), ((1, 2), (90, 144)), ((1, 1), (90, 72)), ((1281, 1280), (90, 72))],
)
def test_frames_have_square_pixels(tmp_path, aspect, size):
    path = write_anamorphic(tmp_path / "c.mkv", gradient(72, 90), Fraction(*aspect))
    frames = [unit.image for unit in MediaFile(path)]
    assert {frame.shape for frame in frames} == {(size[1], size[0], 3)}
    assert np.abs(frames[0].astype(int) - gradient(size[1], size[0])).mean() < 10  # a codec with loss


def test_square_pixels_and_display_matrix_go_together(tmp_path):
    import av

    path = write_anamorphic(tmp_path / "c.mov", gradient(72, 90), Fraction(2), "mjpeg", "yuvj444p")
    turned = tmp_path / "turned.mov"
    with av.open(str(path)) as old, av.open(str(turned), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    assert {unit.image.shape for unit in MediaFile(turned)} == {(180, 72, 3)}


@pytest.mark.parametrize("aspect", [None, 0, Fraction(1, 1000), 65_535, 1.004])
def test_an_aspect_that_no_pixel_has_is_ignored(aspect):
    assert square_size(720, 576, aspect) == (720, 576)


def test_an_aspect_that_makes_a_frame_too_large_is_ignored(monkeypatch):
    monkeypatch.setattr(image_module, "most_pixels", lambda: 100_000)
    assert square_size(300, 300, 1.1) == (330, 300)
    assert square_size(300, 300, 1.2) == (300, 300)


def test_the_density_of_a_photograph_is_no_aspect(tmp_path):
    from PIL import Image

    Image.fromarray(gradient(32, 48)).save(tmp_path / "p.jpg", dpi=(72, 144))
    assert only_image(tmp_path / "p.jpg").shape == (32, 48, 3)


# --- orientation ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_shown_as_pillow_shows_it(tmp_path, suffix, orientation):
    from PIL import Image, ImageOps

    path, exif = tmp_path / f"p.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient(32, 48)).save(path, exif=exif, quality=98)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    shown = only_image(path)
    assert shown.shape == expected.shape
    np.testing.assert_allclose(shown.astype(int), expected.astype(int), atol=12)


def test_a_header_that_is_cut_anywhere_declares_nothing_or_the_truth():
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 5
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(gradient(8, 12)).save(stream, kind, exif=exif)
        data = stream.getvalue()
        assert exif_orientation(data) == (1, True) and image_size(data) == (12, 8)
        for end in range(0, min(len(data), 1_500)):
            assert exif_orientation(data[:end]) in (None, (1, True))
            assert image_size(data[:end]) in (None, (12, 8))


def test_damaged_headers_never_raise():
    from PIL import Image

    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        stream = io.BytesIO()
        Image.fromarray(gradient(8, 12)).save(stream, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
        for _ in range(200):
            data = bytearray(stream.getvalue())
            for place in rng.integers(0, min(len(data), 300), 4):
                data[place] = rng.integers(0, 256)
            exif_orientation(bytes(data))
            image_size(bytes(data))


# --- tiles ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turn", "mirror"), [(None, None), (1, None), (2, 0), (3, 1), (None, 0), (None, 1)])
def test_a_grid_of_tiles_is_read_whole(tmp_path, turn, mirror):
    image = gradient(100, 150)
    path = write_heif(tmp_path / "p.heic", image, turn=turn, mirror=mirror)
    expected = np.rot90(image, turn or 0)
    if mirror is not None:
        expected = expected[:, ::-1] if mirror else expected[::-1]
    shown = only_image(path)
    assert shown.shape == expected.shape
    np.testing.assert_allclose(shown.astype(int), expected.astype(int), atol=12)


def test_a_lost_tile_is_a_warning(tmp_path):
    source = MediaFile(write_heif(tmp_path / "p.heic", gradient(100, 150), lose=2))
    (frame,) = list(source)
    assert frame.image.shape == (100, 150, 3)
    assert source.counts["damaged_frames"] == 1 and "1 of 1 frames are damaged" in source.warnings[1]


def test_an_animation_is_no_still(tmp_path):
    path = write_heif(tmp_path / "a.heic", gradient(20, 20))
    data = path.read_bytes().replace(b"ftypheic", b"ftypavis", 1)
    path.write_bytes(data)
    assert read_heif(path).kind == ""  # without tracks the still is all there is
    path.write_bytes(data + box(b"moov", box(b"trak")))
    assert read_heif(path).kind == ANIMATION


def test_an_image_that_cannot_be_put_together_is_refused(tmp_path):
    path = write_heif(tmp_path / "p.heic", gradient(100, 150), kind=b"iovl")
    with pytest.raises(MediaError, match="one coded image or a grid of tiles, got one of type 'iovl'"):
        MediaFile(path)


def test_a_damaged_heif_is_refused_or_read_and_never_raises_anything_else(tmp_path):
    rng = np.random.default_rng(1)
    whole = write_heif(tmp_path / "p.heic", gradient(20, 20), tile=16).read_bytes()
    path = tmp_path / "damaged.heic"
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, 700, 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        read_heif(path)
        with contextlib.suppress(MediaError):
            list(MediaFile(path))


def test_heif_that_ffmpeg_cannot_read_is_not_called_a_cut_mp4(tmp_path):
    path = write_heif(tmp_path / "p.heic", gradient(20, 20))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MediaError, match="HEIF image of brand heic"):
        MediaFile(path)


# --- damage and size -----------------------------------------------------------------------------------------------------------


def damaged_jpeg(path, kind: str):
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(path, quality=90)
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[: len(data) * 2 // 3]
    elif kind == "end marker":
        data = data[:-2]
    else:
        table = data.index(b"\xff\xc4")
        data[table + 22 : table + 34] = bytes(byte ^ 0x55 for byte in data[table + 22 : table + 34])
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["cut", "end marker", "huffman table"])
def test_a_damaged_jpeg_is_a_warning(tmp_path, kind):
    damaged_jpeg(tmp_path / "p.jpg", kind)
    source = MediaFile(tmp_path / "p.jpg")
    (frame,) = list(source)
    assert frame.image.shape == (64, 96, 3)
    assert source.warnings == ["p.jpg: 1 of 1 frames are damaged and were used as far as they decode."]


def test_a_audio_jpeg_is_no_warning(tmp_path):
    from PIL import Image

    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        Image.fromarray(gradient(64, 96)).save(tmp_path / "p.jpg", **options)
        with (tmp_path / "p.jpg").open("ab") as file:
            file.write(bytes(100))  # what cameras append is no damage
        source = MediaFile(tmp_path / "p.jpg")
        assert len(list(source)) == 1 and source.warnings == []


def test_a_torn_frame_of_motion_jpeg_is_a_warning(tmp_path):
    images = [np.random.default_rng(number).integers(0, 256, (64, 96, 3), dtype=np.uint8) for number in range(4)]
    path = write_clip(tmp_path / "c.avi", frames=images, times=[0, 0.04, 0.08, 0.12], time_base=Fraction(1, 25))
    data = bytearray(path.read_bytes())
    second = data.index(b"\xff\xd8\xff", data.index(b"\xff\xd8\xff") + 1)
    scan = data.index(b"\xff\xda", second)
    data[scan + 400 : scan + 3_000 : 7] = bytes(len(range(scan + 400, scan + 3_000, 7)))
    path.write_bytes(data)
    source = MediaFile(path)
    assert len(list(source)) == 4
    assert source.warnings == ["c.avi: 1 of 4 frames are damaged and were used as far as they decode."]


def test_an_image_too_large_for_the_machine_is_refused_with_its_size(tmp_path):
    from PIL import Image

    Image.new("1", (14_000, 10_000)).save(tmp_path / "large.png")
    with pytest.raises(MediaError, match=r"at most [\d,]+ pixels on this machine, got 14000 x 10000"):
        list(MediaFile(tmp_path / "large.png"))


def test_a_video_too_large_for_the_machine_is_refused_before_it_is_decoded(tmp_path):
    path = write_clip(tmp_path / "c.mov", frames=[gradient(64, 96)], times=[0], video_codec="rawvideo", pix_fmt="rgb24")
    data = path.read_bytes()
    entry = data.index(b"stsd") + 12  # the first sample entry: its size, then its type
    at = entry + 32
    assert struct.unpack_from(">HH", data, at) == (96, 64)
    path.write_bytes(data[:at] + struct.pack(">HH", 60_000, 50_000) + data[at + 4 :])
    with pytest.raises(MediaError, match="frames of at most .* pixels"):
        list(MediaFile(path))


def test_a_file_whose_name_is_a_pattern_is_read_itself(tmp_path):
    from PIL import Image

    Image.fromarray(gradient(8, 12)).save(tmp_path / "p%03d.jpg")
    Image.fromarray(gradient(80, 120)).save(tmp_path / "p001.jpg")
    assert only_image(tmp_path / "p%03d.jpg").shape == (8, 12, 3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{other}\n#EXT-X-ENDLIST\n"),
        ("list.txt", "ffconcat version 1.0\nfile {other}\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        (
            "a.mpd",
            '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{other}</BaseURL></MPD>\n',
        ),
    ],
)
def test_a_file_that_names_other_files_is_refused(tmp_path, name, text):
    other = write_clip(
        tmp_path / "other.ts",
        frames=[gradient(32, 48)] * 5,
        times=[n / 25 for n in range(5)],
        video_codec="mpeg2video",
        pix_fmt="yuv420p",
        time_base=Fraction(1, 25),
    )
    assert sum(isinstance(unit, VideoFrame) for unit in MediaFile(other)) == 5
    (tmp_path / name).write_text(text.format(other=other))
    with pytest.raises(MediaError, match="got a playlist or a description of streams"):
        MediaFile(tmp_path / name)
