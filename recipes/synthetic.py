"""Writes a synthetic corpus in the exact layout of Aff-Wild2: videos with audio_clip, crops, annotations, test list.

Track names, lengths and rates are those of the real corpus (from a public list), lengths scaled; available faces and voices follow
slow random trajectories of valence and arousal. What a reader has to endure is there too: rows that do not match the
frames, unannotated rows, missing crops, two people in a video, names that lie about the rate.

Choice: the face reports valence and half of arousal, the voice arousal and little valence, as people do; and the level of a
voice rises with arousal, by as much as it does within the speakers of JL-Corpus (the available copies of EmoDB have lost
theirs). Faces are split as FER+ is, speakers of one split never speak in another. Unlike the real corpus, this one has annotations of its
test tracks, in their own folder.
"""

from __future__ import annotations

import csv
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.spec import SAMPLE_RATE_HZ
from edgeaff.training.corpora.affwild2 import SIDES, video_name
from edgeaff.training.corpora.record import UNANNOTATED
from recipes.default_bundle.sessions import LEVEL_SLOPE_DB, LEVEL_SPREAD_DB, TICK_RATE_HZ, affect_trajectory
from recipes.default_bundle.voices import Clip, active_level_db, load_clips
from recipes.face_encoder.data import read_split

FRAME_SIZE_PX = (192, 144)
FACE_PX, ALIGNED_PX = 96, 112
LISTS = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
ANNOTATION_FOLDERS = {"train": "Train_Set", "valid": "Validation_Set", "test": "Test_Set"}
TEST_LIST = "Valence_Arousal_Estimation_Challenge_test_set_release.txt"
LEAST_FRAMES = 120  # one window of 100 ticks at 25 fps and more
VOICE_WEIGHTS = np.array([0.1, 1.0])  # of valence and arousal, in choosing an utterance
FACE_AROUSAL_SHARE = 0.5  # of the track's arousal in what the face shows; the rest is another trajectory
MEAN_LEVEL_DB = -25.0
# Speakers of the small corpora that are heard in the validation and test tracks alone; EmoGator's 356 are dealt by hash.
KEPT_SPEAKERS = {
    "valid": ("emodb_03", "emodb_11", "crema_1002"),
    "test": ("emodb_13", "emodb_15", "crema_1003"),
}


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """One track to write. frames: of its video; rate: frames per second."""

    name: str
    split: str
    frames: int
    rate: Fraction


@dataclass(frozen=True, slots=True)
class FaceImages:
    """Photographs by affect. images: (N, H, W) uint8 gray; affect: (N, 2) valence, arousal."""

    images: np.ndarray
    affect: np.ndarray


@dataclass(frozen=True, slots=True)
class Cast:
    """Whom a split shows and lets speak. faces: photographs; clips: utterances."""

    faces: FaceImages
    clips: Sequence[Clip]


def split_of_speaker(clip: Clip) -> str:
    """Returns the split in which a speaker is heard: "train", "valid" or "test"."""
    for split, speakers in KEPT_SPEAKERS.items():
        if clip.speaker in speakers:
            return split
    if clip.corpus != "EmoGator":
        return "train"
    return ("test", "test", "valid", "train", "train", "train", "train", "train")[zlib.crc32(clip.speaker.encode()) % 8]


def read_casts(data: Path) -> dict[str, Cast]:
    """Returns the faces and voices of each split: FER+ unchanged split, speakers dealt out.

    Args:
        data: the folder that holds `data/affect` and `data/voices`.

    Returns:
        train, valid and test; no speaker is in two of them, and no raw_image beyond the twins within FER-2013 itself.
    """
    clips = load_clips(data)
    casts = {}
    for split in LISTS:
        faces = read_split(data / "data" / "affect" / "fer2013plus", split)
        own = [clip for clip in clips if split_of_speaker(clip) == split]
        casts[split] = Cast(FaceImages(faces.images, faces.affect), own)
    return casts


def read_plans(folder: Path, *, scale: float = 0.01, limit: int | None = None) -> list[TrackPlan]:
    """Returns the tracks of the real corpus with scaled lengths.

    Args:
        folder: holds `frames_fps.csv` (track, frames, rate) and `train.csv`, `val.csv`, `test.csv`.
        scale: of the lengths; 1 = as in the real corpus.
        limit: at most this many tracks of each split.

    Returns:
        Plans of train, valid and test, each in the order of its list.
    """
    with (folder / "frames_fps.csv").open(newline="") as file:
        sizes = {row[0]: (int(row[1]), Fraction(row[2]).limit_denominator(1001)) for row in csv.reader(file)}
    plans = []
    for split, name in LISTS.items():
        tracks = [line.split(",")[0].strip() for line in (folder / name).read_text().splitlines() if line.strip()]
        known = [track for track in tracks if track in sizes]
        for track in known[:limit]:
            frames, rate = sizes[track]
            plans.append(TrackPlan(track, split, max(LEAST_FRAMES, round(frames * scale)), rate))
    return plans


def write_corpus(
    root: Path, plans: Sequence[TrackPlan], casts: Mapping[str, Cast], *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Writes the corpus.

    Args:
        root: an empty or new folder.
        plans: tracks; those of one video share its length and rate.
        casts: split -> its faces and voices.
        seed: of everything random.

    Returns:
        track -> (frames, 2) float32, the true affect of every frame.

    Raises:
        ArgumentError: root holds something already.
    """
    if root.exists() and any(root.iterdir()):
        raise ArgumentError(f"root must be an empty folder, got {root} with files in it; choose another.")
    by_video: dict[str, list[TrackPlan]] = defaultdict(list)
    for plan in plans:
        by_video[video_name(plan.name)].append(plan)
    truth: dict[str, np.ndarray] = {}
    for index, (video, tracks) in enumerate(sorted(by_video.items())):
        rng = np.random.default_rng([seed, index])
        path = root / f"batch{1 + index % 2}" / f"{video}.mp4"
        people = sorted(tracks, key=lambda plan: _place(plan.name))
        truth |= _write_video(rng, path, root / "cropped_aligned", people, casts[tracks[0].split])
    for plan in plans:
        path = root / "VA_Estimation_Challenge" / ANNOTATION_FOLDERS[plan.split] / f"{plan.name}.txt"
        _write_annotation(np.random.default_rng([seed, len(plan.name)]), path, truth[plan.name])
    names = [plan.name for plan in plans if plan.split == "test"]
    (root / TEST_LIST).write_text("".join(f"{name}\n" for name in names))
    return truth


def _place(track: str) -> int:
    """Returns where a person stands: `_left` before a plain name before `_right`."""
    left, right = SIDES
    return track.endswith(right) - track.endswith(left)


def _write_annotation(rng: np.random.Generator, path: Path, values: np.ndarray) -> None:
    """Writes the rows of a track: a few unannotated, one too many or too few now and then, as in the real files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.round(values, 3)
    rows[rng.random(len(rows)) < 0.02] = UNANNOTATED
    rows = rows[:-1] if rng.random() < 0.3 else rows
    lines = [f"{valence:g},{arousal:g}" for valence, arousal in rows] + (["-5,-5"] if rng.random() < 0.1 else [])
    path.write_text("valence,arousal\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _shown(rng: np.random.Generator, faces: FaceImages, affect: np.ndarray) -> np.ndarray:
    """Returns which photograph each frame shows: runs of 3 to 10 frames of one near the trajectory."""
    chosen = np.empty(len(affect), dtype=np.int64)
    frame = 0
    while frame < len(affect):
        length = int(rng.integers(3, 11))
        pool = rng.integers(0, len(faces.affect), size=min(400, len(faces.affect)))
        distance = np.square(faces.affect[pool] - affect[frame]).sum(axis=1)
        chosen[frame : frame + length] = pool[np.argmin(distance)]
        frame += length
    return chosen


def _speech(rng: np.random.Generator, clips: Sequence[Clip], affect: np.ndarray, rate: Fraction) -> np.ndarray:
    """Returns int16 audio as long as the frames: utterances near the trajectory with pauses, louder where arousal is higher."""
    total = int(len(affect) / rate * SAMPLE_RATE_HZ)
    audio_clip = 1e-4 * rng.standard_normal(total)
    points, position = np.array([clip.affect for clip in clips]), int(0.2 * SAMPLE_RATE_HZ)
    while position < total:
        now = affect[min(len(affect) - 1, int(position / SAMPLE_RATE_HZ * rate))]
        goal = points + 0.1 * rng.standard_normal(points.shape) - now
        clip = clips[int(np.argmin(np.square(goal) @ VOICE_WEIGHTS))]
        level_db = MEAN_LEVEL_DB + LEVEL_SLOPE_DB * clip.affect[1] + LEVEL_SPREAD_DB * rng.standard_normal()
        gain = 10.0 ** ((level_db - active_level_db(clip.samples)) / 20.0)
        piece = gain * clip.samples[: total - position]
        audio_clip[position : position + len(piece)] += piece
        position += len(piece) + int(rng.exponential(0.4) * SAMPLE_RATE_HZ)
    return np.clip(np.rint(audio_clip * 32767), -32768, 32767).astype(np.int16)


def _enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """Returns a gray raw_image at (size, size), bilinear."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _write_video(
    rng: np.random.Generator, path: Path, crops: Path, tracks: Sequence[TrackPlan], cast: Cast
) -> dict[str, np.ndarray]:
    """Writes a video with one or two people, and the crops of each.

    Args:
        rng: source of randomness.
        path: of the video.
        crops: folder of the crop folders.
        tracks: the people, from left to right; the voice follows the first.
        cast: faces and voices of the split.

    Returns:
        track -> (frames, 2) affect.
    """
    frames, rate = max(plan.frames for plan in tracks), tracks[0].rate
    ticks = int(frames / rate * TICK_RATE_HZ) + 2
    at = np.minimum((np.arange(frames) / rate * TICK_RATE_HZ).astype(np.int64), ticks - 1)
    truth, raw_images = {}, []
    for plan in tracks:
        affect, other = affect_trajectory(rng, ticks), affect_trajectory(rng, ticks)
        truth[plan.name] = affect[at]
        other[:, 0] = affect[:, 0]
        chosen = _shown(rng, cast.faces, (FACE_AROUSAL_SHARE * affect + (1.0 - FACE_AROUSAL_SHARE) * other)[at])
        raw_images.append([_enlarged(cast.faces.images[index], ALIGNED_PX) for index in chosen])
        _write_crops(rng, crops / plan.name, raw_images[-1])
    audio_clip = _speech(rng, cast.clips, truth[tracks[0].name], rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    _encode(path, rate, _composed(raw_images), audio_clip)
    return truth


def _write_crops(rng: np.random.Generator, folder: Path, raw_images: Sequence[np.ndarray]) -> None:
    """Writes `00001.jpg` ...; now and then one is missing, as where no face was found."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, raw_image in enumerate(raw_images, start=1):
        if number == 1 or rng.random() > 0.03:
            Image.fromarray(raw_image).convert("RGB").save(folder / f"{number:05d}.jpg", quality=90)


def _composed(raw_images: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Returns the frames (H, W, 3) uint8: the faces side by side on gray."""
    width, height = FRAME_SIZE_PX
    result = []
    for together in zip(*raw_images, strict=True):
        frame = np.full((height, width), 110, np.uint8)
        top = (height - FACE_PX) // 2
        for index, raw_image in enumerate(together):
            center = width * (2 * index + 1) // (2 * len(together))
            frame[top : top + FACE_PX, center - FACE_PX // 2 : center + FACE_PX // 2] = _enlarged(raw_image, FACE_PX)
        result.append(np.repeat(frame[..., None], 3, axis=2))
    return result


def _encode(path: Path, rate: Fraction, frames: Sequence[np.ndarray], audio_clip: np.ndarray) -> None:
    """Writes MPEG-4 video and AAC audio."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate, options={"qscale": "3"})
        video.width, video.height, video.pix_fmt = *FRAME_SIZE_PX, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ)
        audio.layout = "mono"
        for image in frames:
            container.mux(list(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))))
        container.mux(list(video.encode(None)))
        for start in range(0, len(audio_clip), 1024):
            frame = av.AudioFrame.from_ndarray(audio_clip[None, start : start + 1024], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
            container.mux(list(audio.encode(frame)))
        container.mux(list(audio.encode(None)))
