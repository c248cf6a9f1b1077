"""Which arrays are taken as audio: any byte order and form, one scale."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.features.samples import as_float_samples, check_form
from edgeaff.spec import check_rate

TONE = np.sin(np.arange(800) / 10)


@pytest.mark.parametrize("kind", [">i2", "<i2", ">f4", "<f4", ">f8", "<f8"])
def test_samples_of_either_byte_order_are_the_same_audio(kind):
    samples = (TONE * 10_000).astype(kind) if kind.endswith("i2") else (TONE * 10_000 / 32_768).astype(kind)
    assert check_form(samples).dtype.isnative
    np.testing.assert_allclose(as_float_samples(samples), TONE * 10_000 / 32_768, atol=1 / 32_768)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 5), np.int16), "mix the channels"),
        (np.zeros(5, np.int32), "int16 or float32, got int32; convert"),
        (np.zeros(5, np.float16), "got float16; convert"),
        (
            (TONE * 10_000).astype(np.float32),
            r"float samples must be in \[-1, 1\], got values up to .*; divide them by 32768",
        ),
    ],
)
def test_what_is_no_audio_is_refused_with_what_to_do(samples, message):
    with pytest.raises(ArgumentError, match=message):
        check_form(samples)


def test_loud_audio_and_glitches_are_audio():
    check_form((TONE * 4).astype(np.float32))
    glitch = TONE.astype(np.float32)
    glitch[100:200] = 1e30
    check_form(glitch)
    check_form(np.full(800, np.nan, np.float32))


@pytest.mark.parametrize("rate", [48_000, 48_000.0, np.float64(44_100), np.int16(8_000), 768_000])
def test_a_whole_rate_is_taken_of_any_type(rate):
    assert check_rate("rate", rate) == int(rate) and type(check_rate("rate", rate)) is int


@pytest.mark.parametrize("rate", [44_100.5, float("nan"), float("inf"), "48000", None, True, 768_001, 7_999, 1j])
def test_other_rates_are_refused(rate):
    with pytest.raises(ArgumentError, match="rate must be a whole number of Hz from 8000 to 768000"):
        check_rate("rate", rate)
