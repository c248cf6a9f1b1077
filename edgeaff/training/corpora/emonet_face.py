"""EmoNet-Face: generated portraits with expert ratings of 40 emotions, in the layouts in which it is given out.

| layout | files | labels |
|---|---|---|
| HQ, packed | `data/*.parquet` or `*.parquet` with `path` (image), `label` | each expert's ratings, family and emotion -> 0 to 7 |
| HQ, as a table | `hq.csv` (image, annotator, human, annotations) and the images at any depth | the same; rows of machines are left out |
| Binary | `binary.csv` (path, annotator, value, emotion) and the images at any depth | an expert saw the emotion, or did not |

An expert votes for one of FER+'s eight emotions: the one of the strongest rating that has a counterpart there (`FERPLUS`). Choice:
emotions without one (longing, doubt, intoxication, ...) are no vote, and a portrait without a vote is left out.
"""

from __future__ import annotations

import ast
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.training.corpora.ferplus import EMOTIONS

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
FERPLUS = {
    "Amusement": "happiness",
    "Elation": "happiness",
    "Pleasure/Ecstasy": "happiness",
    "Contentment": "happiness",
    "Thankfulness/Gratitude": "happiness",
    "Affection": "happiness",
    "Hope/Enthusiasm/Optimism": "happiness",
    "Triumph": "happiness",
    "Astonishment/Surprise": "surprise",
    "Awe": "surprise",
    "Sadness": "sadness",
    "Disappointment": "sadness",
    "Helplessness": "sadness",
    "Hopelessness": "sadness",
    "Anger": "anger",
    "Impatience and Irritability": "anger",
    "Malevolence/Malice": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Distress": "fear",
    "Contempt": "contempt",
    "Emotional Numbness": "neutral",
    "Concentration": "neutral",
    "Contemplation": "neutral",
}
HIGHEST_RATING = 7.0


@dataclass(frozen=True, slots=True)
class RatedFace:
    """One portrait.

    Attributes:
        name: of the image, or its row.
        image: its file, or its encoded bytes.
        votes: (8,) float32 share of the experts per emotion, in the order of `ferplus.EMOTIONS`.
    """

    name: str
    image: Path | bytes
    votes: np.ndarray

    def decode(self) -> np.ndarray:
        """Returns the image, (H, W, 3) uint8 RGB.

        Raises:
            ArgumentError: it is none that OpenCV reads.
        """
        import cv2

        data = self.image.read_bytes() if isinstance(self.image, Path) else self.image
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ArgumentError(f"{self.name} must be a readable image, got {len(data)} bytes of none; fetch it again.")
        return np.ascontiguousarray(image[..., ::-1])


def read_emonet_face(root: Path) -> list[RatedFace]:
    """Returns the portraits of a folder that have a vote, in order of name.

    Args:
        root: of any of the layouts; where several are there, the first of the table above.

    Raises:
        ArgumentError: the folder has none of the layouts, a table or a rating is not what it must be, or no portrait has a vote.
        BackendUnavailableError: the layout is Parquet and pyarrow is missing.
    """
    packed = sorted(root.glob("*.parquet")) or sorted((root / "data").glob("*.parquet"))
    tables = {name: next(iter(sorted(root.rglob(name))), None) for name in ("hq.csv", "binary.csv")}
    if packed:
        found = list(_read_parquet(packed))
    elif tables["hq.csv"]:
        found = _with_images(root, _ratings_of_table(tables["hq.csv"]))
    elif tables["binary.csv"]:
        found = _with_images(root, _ratings_of_binary(tables["binary.csv"]))
    else:
        raise ArgumentError(
            f"emonet_face must be a folder with *.parquet, hq.csv or binary.csv, got {root}; fetch laion/emonet-face-hq or -binary."
        )
    kept = [face for face in found if face.votes.any()]
    if not kept:
        raise ArgumentError(
            f"portraits of {root} must have a vote for an emotion of FER+, got none of {len(found)}; check it."
        )
    return sorted(kept, key=lambda face: face.name)


def votes_of(ratings: Mapping[str, Mapping[str, float]], where: str) -> np.ndarray:
    """Returns the votes of experts: the strongest rated emotion with a counterpart, each expert one vote.

    Args:
        ratings: expert -> emotion, `Family|Emotion` or `Emotion` -> rating.
        where: of the portrait, for messages.

    Returns:
        (8,) float32 shares, zeros without a vote.

    Raises:
        ArgumentError: a rating is no number in 0 to 7.
    """
    counts = np.zeros(len(EMOTIONS), np.float32)
    for expert, stated in ratings.items():
        strongest = dict.fromkeys(EMOTIONS, 0.0)
        for name, rating in stated.items():
            emotion = FERPLUS.get(name.rpartition("|")[2].strip())
            if not isinstance(rating, (int, float)) or not 0.0 <= rating <= HIGHEST_RATING:
                raise ArgumentError(
                    f"{where}: ratings must be 0 to {HIGHEST_RATING:.0f}, got {rating!r} of {expert} for {name}; fetch it again."
                )
            if emotion is not None:
                strongest[emotion] = max(strongest[emotion], float(rating))
        winner = max(strongest, key=lambda emotion: strongest[emotion])
        if strongest[winner] > 0:
            counts[EMOTIONS.index(winner)] += 1
    return counts / max(float(counts.sum()), 1.0)


def _literal(text: str, where: str) -> Any:
    """Returns a Python or JSON literal of a table.

    Raises:
        ArgumentError: it is none.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ArgumentError(f"{where}: ratings must be a literal, got {text[:60]!r}; fetch the table again.") from error


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (place, row) of a table.

    Raises:
        ArgumentError: it lacks a column.
    """
    csv.field_size_limit(10_000_000)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not set(columns) <= set(reader.fieldnames or ()):
            raise ArgumentError(
                f"{path} must have the columns {', '.join(columns)}, got {reader.fieldnames}; fetch it again."
            )
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _ratings_of_table(path: Path) -> dict[str, np.ndarray]:
    """Returns image -> votes of hq.csv."""
    by_image: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for where, row in _rows(path, ("image", "annotator", "human", "annotations")):
        if row["human"].strip().lower() in {"true", "1", "yes"}:
            by_image[row["image"]][row["annotator"]] = _ratings(_literal(row["annotations"], where), where)
    return {image: votes_of(ratings, f"{path}, {image}") for image, ratings in by_image.items()}


def _ratings(stated: Any, where: str) -> dict[str, float]:
    """Returns the ratings of an expert.

    Raises:
        ArgumentError: they are no mapping.
    """
    if not isinstance(stated, dict):
        raise ArgumentError(f"{where}: ratings must map emotions to numbers, got {stated!r}; fetch the table again.")
    return {str(name): rating for name, rating in stated.items()}


def _ratings_of_binary(path: Path) -> dict[str, np.ndarray]:
    """Returns image -> votes of binary.csv: experts who saw an emotion vote for it."""
    by_image: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for _, row in _rows(path, ("path", "annotator", "value", "emotion")):
        seen = row["value"].strip().lower() in {"true", "1", "yes"}
        by_image[row["path"]][row["annotator"]][row["emotion"]] = 1.0 if seen else 0.0
    return {image: votes_of(ratings, f"{path}, {image}") for image, ratings in by_image.items()}


def _with_images(root: Path, votes: Mapping[str, np.ndarray]) -> list[RatedFace]:
    """Returns the portraits whose images are there; tables name them by file name, with or without ending.

    Raises:
        ArgumentError: none is there.
    """
    files = {path.stem: path for path in sorted(root.rglob("*")) if path.suffix.lower() in IMAGE_ENDINGS}
    stems = {
        image: Path(image).stem if Path(image).suffix.lower() in IMAGE_ENDINGS else Path(image).name for image in votes
    }
    found = [RatedFace(stem, files[stem], votes[image]) for image, stem in stems.items() if stem in files]
    if not found:
        raise ArgumentError(
            f"{root} must hold the {len(votes)} images that its table names, got none of them; put them there, at any depth."
        )
    return found


def _read_parquet(paths: list[Path]) -> Iterator[RatedFace]:
    """Yields the portraits of packed files, row group by row group.

    Raises:
        ArgumentError: a file lacks a column.
        BackendUnavailableError: pyarrow is missing.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise BackendUnavailableError(f"Parquet needs pyarrow, got: {error}; pip install 'edgeaff[table]'.") from error
    row = 0
    for path in paths:
        file = parquet.ParquetFile(path)
        if not {"path", "label"} <= set(file.schema_arrow.names):
            raise ArgumentError(
                f"{path} must have the columns path and label, got {file.schema_arrow.names}; fetch it again."
            )
        for batch in file.iter_batches(batch_size=64, columns=["path", "label"]):
            for image, label in zip(batch.column("path").to_pylist(), batch.column("label").to_pylist(), strict=True):
                where = f"{path}, row {row}"
                stated = _literal(label, where)
                entries = stated if isinstance(stated, list) else [stated]
                ratings = {
                    str(expert): _ratings(own, where) for entry in entries for expert, own in dict(entry).items()
                }
                yield RatedFace(f"{row:06d}", image["bytes"], votes_of(ratings, where))
                row += 1
