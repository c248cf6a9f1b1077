"""ActiveSpeaker on made scenes: the face that moves with the voice speaks, with others in view as well."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.people.speaker import ActiveSpeaker, Syllables
from edgeaff.spec import PreprocessSpec
from tests.people.scenes import LAG_TICKS, syllables, tick_of

TICKS = 150


def run(mouths: dict[int, np.ndarray], voice: np.ndarray, *, sparse: bool = False) -> tuple[ActiveSpeaker, list]:
    """Returns the speaker and its probabilities; the voice of a tick is that of the mouths four ticks before."""
    speaker = ActiveSpeaker(PreprocessSpec())
    speaker.sparse = sparse
    late = np.concatenate([np.zeros(LAG_TICKS), voice])
    found = [
        speaker.push(tick_of(tick, {track: float(mouth[tick]) for track, mouth in mouths.items()}, float(late[tick])))
        for tick in range(len(voice))
    ]
    return speaker, found


@pytest.mark.parametrize("seed", range(4))
def test_the_face_that_moves_with_the_voice_speaks(seed: int) -> None:
    voice, other = syllables(TICKS, seed), syllables(TICKS, seed + 50)
    speaker, found = run({1: voice, 2: other, 3: np.zeros(TICKS)}, voice)
    assert found[-1][1] > 0.8 and found[-1][2] < 0.2 and found[-1][3] < 0.2
    assert [speaker.hears(track) for track in (1, 2, 3)] == [True, False, False]
    assert sum(found[-1].values()) <= 1


def test_a_voice_that_no_mouth_moves_with_is_somebody_unseen() -> None:
    """By chance one of a few agrees for a moment; on the whole they do not."""
    found = []
    for seed in range(8):
        rows = run({1: syllables(TICKS, seed + 50), 2: np.zeros(TICKS)}, syllables(TICKS, seed))[1][60:]
        found += [sum(row.values()) for row in rows]
    assert np.mean(found) < 0.5


def test_shifted_audio_is_not_that_of_the_face() -> None:
    in_time, shifted = [], []
    for seed in range(6):
        voice = syllables(TICKS, seed)
        in_time += [row[1] for row in run({1: voice}, voice)[1][60:]]
        shifted += [row[1] for row in run({1: voice}, np.roll(voice, 20 + 10 * seed))[1][60:]]
    assert np.mean(in_time) > 0.9 and np.mean(shifted) < 0.35


def test_nothing_is_known_in_the_first_seconds_and_nobody_speaks_in_silence() -> None:
    speaker = ActiveSpeaker(PreprocessSpec())
    early = speaker.push(tick_of(0, {1: 0.0}, 0.0))
    assert early == {1: None} and speaker.hears(1), "alone and unknown: the voice counts, as without this option"
    assert speaker.push(tick_of(1, {1: 0.0, 2: 0.0}, 0.0)) == {1: None, 2: None}
    assert not speaker.hears(1) and not speaker.hears(2)
    for number in range(2, 100):
        found = speaker.push(tick_of(number, {1: 0.0, 2: 0.0}, 0.0, speech=False))
    assert found == {1: 0.0, 2: 0.0}
    assert not speaker.hears(9)


def test_missing_audio_and_faces_that_go_and_come_are_no_error() -> None:
    voice = syllables(TICKS, 1)
    speaker = ActiveSpeaker(PreprocessSpec())
    for number in range(TICKS):
        openings = {} if 60 <= number < 90 else {1: float(voice[number])}
        found = speaker.push(tick_of(number, openings, None if 20 <= number < 50 else float(voice[number])))
        assert set(found) == set(openings)
    assert found[1] is not None, "it was away for more than half a second, and began again"


def test_sparse_holds_the_probability_between_every_third_tick() -> None:
    voice = syllables(TICKS, 2)
    _, found = run({1: voice}, voice, sparse=True)
    values = [row[1] for row in found[60:]]
    assert len(set(values)) <= len(values) // 3 + 1 and values[-1] > 0.5


def test_the_same_ticks_give_the_same_bytes_after_reset() -> None:
    voice = syllables(TICKS, 3)
    speaker, found = run({1: voice}, voice)
    speaker.reset()
    late = np.concatenate([np.zeros(LAG_TICKS), voice])
    assert found == [speaker.push(tick_of(n, {1: float(voice[n])}, float(late[n]))) for n in range(TICKS)]


def test_syllables_are_short_means_less_long_ones() -> None:
    random = np.random.default_rng(0)
    signal = random.normal(size=60)
    syllable = Syllables(1, 40)
    for value in signal:
        syllable.push((float(value),))
    expected = [signal[i - 1 : i + 1].mean() - signal[i - 14 : i + 1].mean() for i in range(20, 60)]
    assert syllable.values[0] == pytest.approx(expected)


def test_the_paper_preset_has_no_audio_lag() -> None:
    voice = syllables(TICKS, 4)
    speaker = ActiveSpeaker(PreprocessSpec(audio_lag_seconds=0.0))
    for number in range(TICKS):
        found = speaker.push(tick_of(number, {1: float(voice[number])}, float(voice[number])))
    assert found[1] > 0.8
