import numpy as np
import pytest

from edgeaff.capture.downmix import ChannelCancellation, downmix_weights, to_float32, to_mono

FIVE_ONE = ["FL", "FR", "FC", "LFE", "BL", "BR"]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["FC"], [1]),
        (["NONE"], [1]),
        (["FL", "FR"], [0.5, 0.5]),
        (["NONE"] * 2, [0.5, 0.5]),
        (["FL", "FR", "LFE"], [0.5, 0.5, 0]),
        (["FL", "FR", "BL", "BR"], [0.25] * 4),
        (["NONE"] * 4, [0.25] * 4),
        (FIVE_ONE, [0.5, 0.5, 1, 0, 0.25, 0.25]),
        (["NONE"] * 6, [0.5, 0.5, 1, 0, 0.25, 0.25]),
        (["NONE"] * 8, [0.5, 0.5, 1, 0, 0.25, 0.25, 0.25, 0.25]),
        (["LFE"], [1]),
    ],
)
def test_weights_are_the_documented_ones(channels, expected):
    np.testing.assert_allclose(downmix_weights(channels), expected)


@pytest.mark.parametrize("channels", [["FL", "FR"], FIVE_ONE, ["FL", "FR", "FC"]])
def test_voice_in_the_middle_keeps_its_level(channels):
    voice = np.sin(np.arange(100, dtype=np.float32))
    sides = np.stack([voice * (name in ("FL", "FR")) for name in channels])
    np.testing.assert_allclose(to_mono(sides, downmix_weights(channels)), voice, atol=1e-6)


def test_integer_formats_reach_full_scale():
    assert to_float32(np.array([0, 128, 255], np.uint8)).tolist() == [-1, 0, 127 / 128]
    assert to_float32(np.array([-32768, 16384], np.int16)).tolist() == [-1, 0.5]
    assert to_float32(np.array([-(2**31), 2**30], np.int32)).tolist() == [-1, 0.5]
    assert to_float32(np.array([0.25], np.float64)).dtype == np.float32


def test_one_int16_channel_passes_unchanged():
    samples = np.arange(-5, 5, dtype=np.int16)[None]
    mono = to_mono(samples, downmix_weights(["FC"]))
    assert mono.dtype == np.int16 and (mono == samples[0]).all()


def test_nan_of_a_channel_without_weight_stays_out():
    samples = np.zeros((6, 4), np.float32)
    samples[3] = np.nan
    assert np.isfinite(to_mono(samples, downmix_weights(FIVE_ONE))).all()


@pytest.mark.parametrize(("right", "found"), [(-1.0, True), (-0.99, True), (-0.9, False), (0.0, False), (1.0, False)])
def test_cancellation_is_found_30_db_down(right, found):
    left = 0.1 * np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    stereo = np.stack([left, right * left])
    watch = ChannelCancellation()
    watch.add(stereo, to_mono(stereo, downmix_weights(["FL", "FR"])))
    assert watch.found is found


def test_silence_is_no_cancellation():
    watch = ChannelCancellation()
    watch.add(np.zeros((2, 100), np.float32), np.zeros(100, np.float32))
    assert not watch.found
