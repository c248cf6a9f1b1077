"""The one path: the same ticks for any chunking and interleaving; gaps masked; jumps; counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.preprocess import Preprocessor, PreprocessParts, TickInput
from edgeaff.spec import PreprocessSpec, paper_spec
from edgeaff.types import FaceBox, TrackedFace

from .fakes import MS, SECOND, Brightness, Identity, OneFace, frame, make, same, tone

Item = tuple[int, str, Any, int]


def stream(
    seconds: float, *, fps: float = 25, rate: int = 16_000, audio_start: int = 0, chunk: int = 441
) -> list[Item]:
    """Frames and chunks in the order of time, as a file gives them."""
    items: list[Item] = [
        (round(index * SECOND / fps), "video", frame(1 + index % 250), 0) for index in range(int(seconds * fps))
    ]
    samples = tone(seconds, rate)
    for start in range(0, len(samples), chunk):
        items.append((audio_start + start * SECOND // rate, "audio", samples[start : start + chunk], rate))
    return sorted(items, key=lambda item: (item[0], item[1] == "audio"))


def run(items: list[Item], spec: PreprocessSpec | None = None, **options: Any) -> list[TickInput]:
    return push_all(make(spec, **options), items)


def push_all(pre: Preprocessor, items: list[Item]) -> list[TickInput]:
    ticks: list[TickInput] = []
    for pts, kind, data, rate in items:
        if kind == "video":
            ticks += pre.push_frame(data, pts_ns=pts)
        else:
            ticks += pre.push_audio(data, pts_ns=pts, sample_rate_hz=rate)
    return ticks + pre.finish()


def rechunk(items: list[Item], rng: np.random.Generator, *, largest: int = 4000) -> list[Item]:
    """The same clip in other pieces, each at its own time."""
    rate = next(item[3] for item in items if item[1] == "audio")
    clip = [item for item in items if item[1] == "audio"]
    samples = np.concatenate([item[2] for item in clip])
    start, first, pieces = 0, clip[0][0], []
    while start < len(samples):
        size = int(rng.integers(1, largest))
        pieces.append((first + start * SECOND // rate, "audio", samples[start : start + size], rate))
        start += size
    frames = [item for item in items if item[1] == "video"]
    return sorted(frames + pieces, key=lambda item: (item[0], item[1] == "audio"))


def interleave(items: list[Item], rng: np.random.Generator, *, skew_ms: int = 200) -> list[Item]:
    """The same pushes in another order: each modality in its own order, neither ahead of the other by more than the skew."""

    def end(item: Item) -> int:
        return item[0] if item[1] == "video" else item[0] + len(item[2]) * SECOND // item[3]

    lanes = {kind: [item for item in items if item[1] == kind] for kind in ("video", "audio")}
    out: list[Item] = []
    reached = -(10**18)
    while lanes["video"] or lanes["audio"]:
        allowed = []
        for kind in ("video", "audio"):
            other = lanes["audio" if kind == "video" else "video"]
            if lanes[kind] and (not other or end(lanes[kind][0]) <= other[0][0] + skew_ms * MS):
                allowed.append(kind)
        kind = (
            allowed[int(rng.integers(len(allowed)))]
            if allowed
            else min((k for k in lanes if lanes[k]), key=lambda k: lanes[k][0][0])
        )
        out.append(lanes[kind].pop(0))
        reached = max(reached, end(out[-1]))
    return out


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_ticks_do_not_depend_on_chunking_or_interleaving(rate: int) -> None:
    items = stream(2.0, rate=rate)
    expected = run(items)
    assert len(expected) == 60 and expected[30].audio is not None and expected[30].faces
    rng = np.random.default_rng(rate)
    for _ in range(4):
        same(run(interleave(rechunk(items, rng, largest=rate // 6), rng)), expected)


@pytest.mark.parametrize("sizes", [(1,), (7,), (533, 1, 160)])
def test_tiny_chunks_give_the_same(sizes: tuple[int, ...]) -> None:
    items = [item for item in stream(0.5) if item[1] == "audio"]
    samples = np.concatenate([item[2] for item in items])
    pieces, start = [], 0
    while start < len(samples):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append((start * SECOND // 16_000, "audio", samples[start : start + size], 16_000))
        start += size
    same(run(pieces, video=False), run(items, video=False))


def test_ticks_are_continuous_and_cover_the_streams() -> None:
    ticks = run(stream(3.0, fps=24))
    assert [tick.tick for tick in ticks] == list(range(90))
    assert ticks[0].restart and not any(tick.restart for tick in ticks[1:])


def test_a_frame_causes_its_tick_at_once_with_audio_up_to_date() -> None:
    pre = make()
    for index in range(30):
        pre.push_audio(tone(1 / 30, 48_000), pts_ns=index * SECOND // 30, sample_rate_hz=48_000)
        ticks = pre.push_frame(frame(100), pts_ns=index * SECOND // 30 + 5 * MS)
        assert [tick.tick for tick in ticks] == [index]


def test_paper_ticks_wait_for_the_audio_their_rows_need() -> None:
    pre = make(paper_spec())
    pre.push_frame(frame(100), pts_ns=0)
    assert pre.push_audio(tone(0.1, 16_000), pts_ns=0, sample_rate_hz=16_000) == []
    ticks = pre.push_audio(tone(0.1, 16_000), pts_ns=100 * MS, sample_rate_hz=16_000)
    assert [tick.tick for tick in ticks] == [0]
    assert ticks[0].audio is None  # no window center at 0 yet


def test_paper_context_is_63_steps_oldest_first_and_one_zero() -> None:
    ticks = run(stream(3.0), paper_spec())
    vector = ticks[80].audio
    assert vector is not None and vector.shape == (4096,) and vector[4095] == 0
    steps = vector[:4095].reshape(63, 65)
    for back in range(63):
        lld = ticks[80 - back].lld
        assert lld is not None and np.array_equal(steps[62 - back], lld)


def test_video_only_and_audio_only_never_wait() -> None:
    frames = [item for item in stream(1.0, fps=30) if item[1] == "video"]
    pre = make(audio=False)
    for pts, _, image, _ in frames:
        assert len(pre.push_frame(image, pts_ns=pts)) == 1
    clip = [item for item in stream(1.0) if item[1] == "audio"]
    ticks = run(clip, video=False)
    assert [tick.tick for tick in ticks] == list(range(30)) and all(tick.faces == () for tick in ticks)


def test_stopped_camera_does_not_stop_the_ticks() -> None:
    items = [item for item in stream(3.0) if item[1] == "audio" or item[0] < SECOND]
    ticks = run(items)
    assert [tick.tick for tick in ticks] == list(range(90))
    assert ticks[40].faces and ticks[40].frame_pts_ns is not None  # 0.37 s after the last frame
    assert not ticks[60].faces and ticks[60].frame_pts_ns is None


def test_missing_audio_is_none_after_half_a_second() -> None:
    items = [item for item in stream(3.0) if item[1] == "video" or item[0] < SECOND]
    ticks = run(items)
    assert ticks[40].audio is not None and ticks[60].audio is None


def test_frames_are_processed_once_however_long_they_are_held() -> None:
    pre = make(audio=False)
    for index in range(15):
        pre.push_frame(frame(50 + index), pts_ns=index * SECOND * 2 // 15)
    pre.finish()
    assert pre.parts.detector.calls == 15  # type: ignore[union-attr]


def test_detector_stride_runs_the_detector_less_often() -> None:
    pre = make(audio=False, detector_stride=3)
    ticks = [tick for index in range(30) for tick in pre.push_frame(frame(90), pts_ns=index * SECOND // 30)]
    assert pre.parts.detector.calls == 10  # type: ignore[union-attr]
    assert all(tick.faces for tick in ticks[10:])


def test_hole_in_the_audio_is_filled_and_masked() -> None:
    pre = make(video=False)
    ticks = pre.push_audio(tone(1.0, 16_000), pts_ns=0, sample_rate_hz=16_000)
    ticks += pre.push_audio(tone(1.0, 16_000), pts_ns=1150 * MS, sample_rate_hz=16_000)
    ticks += pre.finish()
    assert pre.counts.samples_filled == 2400 and pre.counts.audio_restarts == 0
    held = [
        tick
        for tick in ticks
        if tick.audio is not None and 1_150 * MS < tick.pts_ns - pre.spec.audio_lag_ns + 0 < 1_160 * MS
    ]
    assert all(tick.audio_center_ns is not None and tick.audio_center_ns < 1_000 * MS for tick in held)
    assert all(tick.audio is not None for tick in ticks[6:])


def test_audio_that_comes_after_its_ticks_is_counted() -> None:
    pre = make()
    for index in range(60):  # ticks wait for clip no longer than the skew
        pre.push_frame(frame(50), pts_ns=index * SECOND // 30)
    pre.push_audio(tone(1.0, 16_000), pts_ns=0, sample_rate_hz=16_000)
    assert pre.counts.samples_late == 16_000
    in_time = make()
    push_all(in_time, stream(2.0))
    assert in_time.counts.samples_late == 0


def test_non_finite_samples_become_zero_and_are_counted() -> None:
    clean = tone(1.0, 16_000).astype(np.float32) / 32768
    dirty, zeroed = clean.copy(), clean.copy()
    dirty[[100, 5000, 5001]] = [np.nan, np.inf, -np.inf]
    zeroed[[100, 5000, 5001]] = 0
    pre = make(video=False)
    ticks = pre.push_audio(dirty, pts_ns=0, sample_rate_hz=16_000) + pre.finish()
    assert pre.counts.samples_not_finite == 3
    same(ticks, run([(0, "audio", zeroed, 16_000)], video=False))


def test_old_and_repeated_frames_are_dropped_and_counted() -> None:
    pre = make(audio=False)
    for pts in (0, 33 * MS, 33 * MS, 10 * MS, 67 * MS):
        pre.push_frame(frame(9), pts_ns=pts)
    assert pre.counts.frames_not_newer == 2


def test_single_far_frame_is_dropped_and_counted() -> None:
    pre = make(audio=False)
    assert len(pre.push_frame(frame(9), pts_ns=0)) == 1
    assert pre.push_frame(frame(9), pts_ns=100 * SECOND) == []
    assert [tick.tick for tick in pre.push_frame(frame(9), pts_ns=33 * MS)] == [1]
    assert pre.counts.inputs_unconfirmed == 1 and pre.counts.jumps == 0


def test_far_input_that_nothing_confirms_is_counted_and_the_count_outlives_reset() -> None:
    pre = make(audio=False)
    for expected in (1, 2):
        pre.push_frame(frame(9), pts_ns=0)
        pre.push_frame(frame(9), pts_ns=100 * SECOND)
        assert pre.finish() == []
        assert pre.counts.inputs_unconfirmed == expected
        pre.reset()
        pre.push_frame(frame(9), pts_ns=0)
        assert pre.counts.inputs_unconfirmed == expected
        pre.reset()


def test_numpy_integers_are_times_like_any_other() -> None:
    epoch = 1_763_000_000 * SECOND  # 30 times this is beyond int64
    pushes = [(epoch, frame(9)), (epoch + 40 * MS, frame(9))]
    plain, numpy = make(audio=False), make(audio=False)
    expected = [tick for pts, image in pushes for tick in plain.push_frame(image, pts_ns=pts)]
    ticks = [tick for pts, image in pushes for tick in numpy.push_frame(image, pts_ns=np.int64(pts))]
    same(ticks, expected)
    assert len(ticks) == 2 and all(type(tick.pts_ns) is int for tick in ticks)
    clip = make(video=False)
    samples = tone(1.0, 16_000)
    ticks = clip.push_audio(samples, pts_ns=np.int64(epoch), sample_rate_hz=np.int32(16_000)) + clip.finish()
    assert len(ticks) == 30 and all(type(tick.pts_ns) is int for tick in ticks)


def test_confirmed_jump_restarts_without_ticks_in_the_hole() -> None:
    pre = make(audio=False)
    pre.push_frame(frame(9), pts_ns=0)
    pre.push_frame(frame(9), pts_ns=100 * SECOND)
    ticks = pre.push_frame(frame(9), pts_ns=100 * SECOND + 33 * MS)
    assert [(tick.tick, tick.restart) for tick in ticks] == [(3000, True), (3001, False)]
    assert pre.counts.jumps == 1


def test_advance_keeps_the_ticks_going_and_they_turn_stale() -> None:
    pre = make()
    pre.push_frame(frame(9), pts_ns=0)
    ticks = [tick for step in range(1, 60) for tick in pre.advance(step * 33 * MS)]
    assert [tick.tick for tick in ticks] == list(range(len(ticks))) and len(ticks) > 40
    assert not ticks[14].stale and ticks[17].stale


def test_faces_and_rows_known_already_enter_the_same_path() -> None:
    from edgeaff.features.lld import LldStream

    items = stream(1.5)
    expected = run(items)
    stream_of_rows = LldStream()
    samples = np.concatenate([item[2] for item in items if item[1] == "audio"])
    stream_of_rows.push(samples)
    stream_of_rows.finish()
    rows = stream_of_rows.pop()
    pre = make()
    ticks: list[TickInput] = []
    face = TrackedFace(0, FaceBox(8, 6, 24, 18), 0.99)
    done = 0
    for pts, kind, image, _ in items:
        if kind == "video":
            due = min(len(rows), pts // (10 * MS) + 1)
            ticks += pre.push_lld(rows[done:due], pts_ns=done * 10 * MS)
            done = max(done, due)
            ticks += pre.push_face([(face, np.full((96, 96, 3), image.mean(), np.uint8))], pts_ns=pts)
    ticks += pre.push_lld(rows[done:], pts_ns=done * 10 * MS) + pre.finish()
    assert len(ticks) >= len(expected) - 1
    for a, b in zip(ticks, expected, strict=False):
        assert a.frame_pts_ns == b.frame_pts_ns
        assert (a.audio is None) == (b.audio is None) and (a.audio is None or np.array_equal(a.audio, b.audio))


def test_reset_starts_over() -> None:
    items = stream(1.0)
    pre = make()
    first = push_all(pre, items)
    pre.reset()
    same(push_all(pre, items), first)


def test_after_finish_only_reset_is_allowed() -> None:
    pre = make()
    pre.finish()
    with pytest.raises(SessionStateError, match="reset"):
        pre.push_frame(frame(1), pts_ns=0)
    with pytest.raises(SessionStateError, match="reset"):
        pre.finish()


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda pre: pre.push_frame(np.zeros((4, 4), np.uint8), pts_ns=0), r"\(H, W, 3\).*got \(4, 4\)"),
        (lambda pre: pre.push_frame(np.zeros((4, 4, 3), np.float32), pts_ns=0), "uint8.*float32"),
        (lambda pre: pre.push_frame(frame(1), pts_ns=0.5), "pts_ns must be an int"),
        (lambda pre: pre.push_audio(np.zeros((4, 2), np.int16), pts_ns=0, sample_rate_hz=16_000), "mono"),
        (lambda pre: pre.push_audio(np.zeros(4, np.int32), pts_ns=0, sample_rate_hz=16_000), "int32"),
        (lambda pre: pre.push_audio(np.zeros(4, np.int16), pts_ns=0, sample_rate_hz=4_000), "4000"),
        (lambda pre: pre.push_lld(np.zeros((2, 130), np.float32), pts_ns=0), r"\(n, 65\).*\(2, 130\)"),
    ],
)
def test_bad_arguments_are_refused_and_lose_nothing(call: Any, match: str) -> None:
    pre = make()
    with pytest.raises(ArgumentError, match=match):
        call(pre)
    assert len(pre.push_frame(frame(1), pts_ns=0) + pre.finish()) == 1


@pytest.mark.parametrize(
    "options", [{"video": False, "audio": False}, {"max_faces": 0}, {"detector_stride": 0}, {"max_skew_seconds": -1}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        make(**options)


# --- parts in Python ------------------------------------------------------------------------------------------------------------


class _Nested:
    """A detector that calls its own preprocessor."""

    id = "edgeaff-ssd"

    def detect(self, image):
        self.preprocessor.advance(0)
        return []


def test_a_call_during_a_call_is_refused_and_the_next_one_works() -> None:
    detector = _Nested()
    preprocessor = Preprocessor(PreprocessParts(PreprocessSpec(), detector, Brightness(), Identity()), audio=False)
    detector.preprocessor = preprocessor
    with pytest.raises(SessionStateError, match="one thread at a time"):
        preprocessor.push_frame(frame(50), pts_ns=0)
    detector.detect = lambda image: []
    assert [tick.tick for tick in preprocessor.push_frame(frame(50), pts_ns=SECOND)] == [30]


class _Failing:
    """A tap whose first frame fails, and that keeps the function it was given."""

    def __init__(self) -> None:
        self.kept: list = []

    def faces(self, pts_ns, find):
        self.kept.append(find)
        if len(self.kept) == 1:
            raise KeyError("no such recording")
        return find()

    def rows(self, pop):
        return pop()


def test_what_a_part_in_python_raises_comes_out_and_what_it_kept_is_dead() -> None:
    tap = _Failing()
    parts = PreprocessParts(PreprocessSpec(), OneFace(), Brightness(), Identity(), tap=tap)
    preprocessor = Preprocessor(parts, audio=False)
    with pytest.raises(KeyError, match="no such recording"):
        preprocessor.push_frame(frame(50), pts_ns=0)
    (tick,) = preprocessor.push_frame(frame(60), pts_ns=SECOND // 30)[-1:]
    assert tick.faces[0].descriptor.tolist() == [60.0] and tick.faces[0].crop.shape == (96, 96, 3)
    for kept in tap.kept:
        with pytest.raises(SessionStateError, match="while the tap is asked"):
            kept()


def test_parts_of_another_size_are_refused() -> None:
    class Small(Brightness):
        def crop(self, image, box):
            return np.zeros((64, 64, 3), np.uint8)

    preprocessor = Preprocessor(PreprocessParts(PreprocessSpec(), OneFace(), Small(), Identity()), audio=False)
    with pytest.raises(ArgumentError, match=r"crops must be \(96, 96, 3\)"):
        preprocessor.push_frame(frame(50), pts_ns=0)


def test_frames_without_a_detector_are_an_error_that_names_push_face() -> None:
    preprocessor = Preprocessor(PreprocessParts(PreprocessSpec(), None, Brightness(), Identity()), audio=False)
    with pytest.raises(ArgumentError, match="push_face"):
        preprocessor.push_frame(frame(50), pts_ns=0)


def test_a_face_that_was_pushed_comes_back_as_the_same_object() -> None:
    face = TrackedFace(7, FaceBox(1, 2, 30, 40), 1)
    (tick,) = make(audio=False).push_face([(face, np.zeros((96, 96, 3), np.uint8)[::-1])], pts_ns=0)
    assert tick.faces[0].face is face


def test_ticks_without_crops_are_the_same_otherwise() -> None:
    kept, dropped = make(audio=False), make(audio=False, keep_crops=False)
    for index in range(4):
        (one,), (other,) = (each.push_frame(frame(60 + index), pts_ns=index * SECOND // 30) for each in (kept, dropped))
        same([one], [other])
        assert one.faces[0].crop.shape == (96, 96, 3) and other.faces[0].crop.shape == (0, 0, 3)
