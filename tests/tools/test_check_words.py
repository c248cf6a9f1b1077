"""The finder of banned words finds them in names, prose and across lines, and leaves what belongs to others."""

from __future__ import annotations

import pytest

from tests.tools.check_words import check_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class PictureMaker:", "Picture"),
        ("picture_of(frame)", "picture"),
        ("MAX_COLOURS = 3", "COLOURS"),
        ("quantise_static()", "quantise"),
        ('"""Returns what the tracker keeps."""', "Returns what"),
        ("# a process of\n    # its own", "of its own"),
    ],
)
def test_banned_word_is_found(text, expected):
    assert [found for _, found, _ in check_text(text)] == [expected]


@pytest.mark.parametrize(
    "text", ["import sounddevice", "Open Sound Control", "analysis of colors", "the frame is normalized", ""]
)
def test_good_words_pass(text):
    assert check_text(text) == []


def test_line_and_advice_are_given():
    assert check_text("x = 1\ny = centred\n") == [(2, "centred", "centered")]
