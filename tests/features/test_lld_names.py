"""The names of the columns and their order, against the rules of the ComParE 2016 set, without its data.

Bundles, caches and stored features are read by these names: a renamed column is another preprocessing.
"""

from edgeaff.lld_names import NAMES

_VOICE = ("F0final", "voicingFinalUnclipped", "jitterLocal", "jitterDDP", "shimmerLocal", "logHNR")
_LOUDNESS = ("audspec_lengthL1norm", "audspecRasta_lengthL1norm", "pcm_RMSenergy", "pcm_zcr")
_SHAPE = ("Flux", "Centroid", "Entropy", "Variance", "Skewness", "Kurtosis", "Slope")


def expected_names() -> list[str]:
    """Returns the 65 names as the configuration builds them: source, descriptor, `_sma` for the average over three rows."""
    spectrum = [f"fband{band}" for band in ("250-650", "1000-4000")]
    spectrum += [f"spectralRollOff{percent:.1f}" for percent in (25, 50, 75, 90)]
    spectrum += [f"spectral{shape}" for shape in _SHAPE] + ["psySharpness", "spectralHarmonicity"]
    names = [f"{name}_sma" for name in (*_VOICE, *_LOUDNESS)]
    names += [f"audSpec_Rfilt_sma[{band}]" for band in range(26)]
    names += [f"pcm_fftMag_{name}_sma" for name in spectrum]
    return [*names, *(f"mfcc_sma[{index}]" for index in range(1, 15))]


def test_every_column_has_its_name():
    wrong = [
        f"column {index}: {name!r} must be {expected!r}"
        for index, (name, expected) in enumerate(zip(NAMES, expected_names(), strict=True))
        if name != expected
    ]
    assert not wrong
