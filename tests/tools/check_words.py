"""Finds words that the glossary bans, in Python, C++, CUDA, Markdown and shell: names, docstrings, comments, messages, pages.

A name counts as its words: `PictureMaker` and `picture_of` hold `picture`. Lines that must quote another's word are in ALLOWED.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = (
    ".py",
    ".pyi",
    ".cc",
    ".h",
    ".cu",
    ".cuh",
    ".cpp",
    ".c",
    ".hpp",
    ".md",
    ".sh",
    ".js",
    ".html",
    ".css",
    ".toml",
    ".cmake",
)
SKIPPED = (
    "LICENSE",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "tests/tools/check_words.py",
    "tests/tools/test_check_words.py",
)

WORDS = {
    "picture": "frame (in time) or image (an array)",
    "pictures": "frames or images",
    "sound": "audio, samples, recording or clip",
    "sounds": "audio, recordings or clips",
    "says": "reports, states, names or returns",
    "said": "stated, given or recorded",
    "tells": "reports, states or distinguishes",
    "told": "reported, given or configured",
    "anew": "again, or a verb with re-",
    "whoever": "the caller, the user, or a plain subject",
    "whatever": "any, regardless of",
    "wherever": "where, or everywhere",
    "mend": "repair or fix",
    "mended": "repaired or fixed",
    "mends": "repairs or fixes",
}
STEMS = {  # British spellings: stem -> American
    "behaviour": "behavior", "colour": "color", "centre": "center", "centred": "centered", "centring": "centering", "grey": "gray",
    "neighbour": "neighbor",
    "favour": "favor", "honour": "honor", "catalogue": "catalog", "artefact": "artifact", "judgement": "judgment",
    "quantis": "quantiz", "normalis": "normaliz", "optimis": "optimiz", "initialis": "initializ", "serialis": "serializ",
    "synchronis": "synchroniz", "recognis": "recogniz", "summaris": "summariz", "standardis": "standardiz", "randomis": "randomiz",
    "finalis": "finaliz", "generalis": "generaliz", "minimis": "minimiz", "maximis": "maximiz", "organis": "organiz",
    "vectoris": "vectoriz", "discretis": "discretiz", "regularis": "regulariz", "penalis": "penaliz", "analys": "analyz",
    "travell": "travel", "labell": "label", "modell": "model", "cancell": "cancel", "signall": "signal", "programmes": "programs",
    "licence": "license", "practise": "practice", "defence": "defense",
}  # fmt: skip
STEMS_EXEMPT = ("optimism", "optimistic", "analysis", "analyses", "analyst", "cancellation")
PHRASES = {
    r"of its own\b": "its own, or leave it out",
    r"of their own\b": "their own, or leave it out",
    r"Returns what\b": "Returns the ...",
    r"Returns how\b": "Returns the ...",
    r"Returns why\b": "Returns the reason ...",
    r"what computes\b": "the backend",
    r"so many\b": "a number, or: this many",
    r"as it is\b": "unchanged",
    r"is over\b": "has ended",
    r"comes to nothing\b": "fails",
}
ALLOWED = (  # names and texts that belong to others
    r"sounddevice",
    r"soundfile",
    r"Open Sound Control",
    r"EmotionSound",
    r"PictureCache",
    r"SoundTouch",
    r"sound\.h",
    r"CancelledError",
    r"licences",
    r"audio_normalization",
    r"box_centre_square_v1",  # data of every bundle
    r"\"grey\"",  # a column of the labels of the face data
)

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ALLOWED = re.compile("|".join(ALLOWED))


def check_text(text: str) -> list[tuple[int, str, str]]:
    """Returns (line number, what was found, what to write) for every banned word and phrase of a text."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for part in _PART.findall(_ALLOWED.sub(" ", line)):
            advice = advice_on(part.lower())
            if advice is not None:
                found.append((number, part, advice))
    flat = re.sub(r"\s+(?:#|//|\*)?\s*", " ", text)
    for pattern, advice in PHRASES.items():
        for match in re.finditer(pattern, flat):
            line = _line_of(text, flat, match.start())
            found.append((line, match[0], advice))
    return sorted(found)


def advice_on(word: str) -> str | None:
    """Returns what to write in place of one word in lower case; None where it may stay."""
    if word in WORDS:
        return WORDS[word]
    if word in STEMS_EXEMPT:
        return None
    stems = [stem for stem in STEMS if word.startswith(stem)]
    if not stems:
        return None
    stem = max(stems, key=len)
    return STEMS[stem] + word[len(stem) :]


def _line_of(text: str, flat: str, start: int) -> int:
    """Returns the line of the original text at a place of the flattened one, counted by its letters."""
    letters = sum(character.isalnum() for character in flat[:start])
    seen = 0
    for number, line in enumerate(text.splitlines(), start=1):
        seen += sum(character.isalnum() for character in line)
        if seen > letters:
            return number
    return 1


def tracked_files() -> list[Path]:
    """Returns the files of the repository that are read."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    return [ROOT / name for name in listed if name.endswith(SUFFIXES) and name not in SKIPPED]


def main(arguments: list[str]) -> int:
    """Returns 1 if a banned word stands in a file (all tracked files, or those whose path holds one of the arguments)."""
    bad = 0
    for path in tracked_files():
        name = path.relative_to(ROOT).as_posix()
        if arguments and not any(argument in name for argument in arguments):
            continue
        for number, word, advice in check_text(path.read_text(encoding="utf-8", errors="replace")):
            print(f"{name}:{number}: {word!r}; write {advice}")
            bad += 1
    print(f"{bad} banned words" if bad else "no banned words")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
