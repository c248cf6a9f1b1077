"""`python -m recipes.default_bundle`: makes the tail of the default bundle again."""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeaff.features.speech import SpeechGate
from edgeaff.machine import stamp
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora.ferplus import votes_to_affect
from edgeaff.training.models.edge import Edge, EdgeConfig, load_weights
from recipes import shared_folder
from recipes.default_bundle.adapt import adapt
from recipes.default_bundle.calibrate import collect, fit_table, interval_coverage
from recipes.default_bundle.data import FaceBank, Prepared, PseudoCorpus
from recipes.default_bundle.evaluation import face_report, recitals, voice_report
from recipes.default_bundle.fit import FitConfig, evaluate, fit
from recipes.default_bundle.more import named_folder, provenance_of, with_faces, with_voices
from recipes.default_bundle.prepare import column_statistics, is_held_out, make_sessions, prepare
from recipes.default_bundle.sessions import VoiceSession, load_sessions, save_sessions
from recipes.default_bundle.spread import Seen, calibrate_spread, fit_spread, honesty, look
from recipes.default_bundle.unseen import corpora_left_out, speakers_left_out, unseen_voices
from recipes.default_bundle.voices import Clip, load_clips
from recipes.default_bundle.write import write_all
from recipes.face_encoder.data import rarity
from recipes.face_encoder.describe import APART
from recipes.face_encoder.disturb import HINDRANCES

logger = logging.getLogger(__name__)
HELD_OUT_SEED, TRAIN_SEED = 101, 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m recipes.default_bundle", description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument(
        "--faces", type=Path, required=True, help="descriptors of FER+ made by the face encoder's recipe"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/default_bundle"), help="cache of LLD sessions")
    parser.add_argument("--output", type=Path, default=Path("runs/default_bundle/out"))
    parser.add_argument("--minutes", type=float, default=20.0, help="budget of the final training")
    parser.add_argument("--unseen", choices=["none", "speakers", "corpora", "both"], default="none")
    parser.add_argument("--unseen-steps", type=int, default=90, help="of each leave-out training (0.7 s each)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of sessions")
    parser.add_argument(
        "--start",
        type=Path,
        help="edge_weights.safetensors to go on from; with --minutes 0 they are calibrated and measured unchanged",
    )
    parser.add_argument(
        "--adapt", type=int, default=0, help="steps that fit the input layer of the face to its encoder"
    )
    parser.add_argument(
        "--statistics",
        type=Path,
        help="tail.json of the system to go on from, whose statistics stay (default: computed)",
    )
    parser.add_argument("--speech", type=Path, help="speech.npz of recipes.speech_gate; without it all audio counts")
    parser.add_argument(
        "--with", dest="more", action="append", default=[], type=named_folder, metavar="NAME=FOLDER",
        help="a corpus that you have, cremad=DIR or emonet_face=DIR (docs/training.md); may be given several times",
    )  # fmt: skip
    parser.add_argument("--encoder", type=Path, help="face_encoder.onnx that made --faces, where --with has faces")
    parser.add_argument("--results", type=Path, help="JSON file for the figures")
    return parser.parse_args()


def sharpened(votes: np.ndarray) -> np.ndarray:
    """Returns the expectation of the anchors over votes to the fourth power: (N, 8) -> (N, 2), near that of the majority."""
    sharp = votes**4
    return votes_to_affect(sharp / sharp.sum(axis=1, keepdims=True))


def face_bank(path: Path, split: str) -> FaceBank:
    """Returns the descriptors of a split of FER+, with sharpened targets except for the test; rare train faces are drawn more often."""
    with np.load(path, allow_pickle=False) as archive:
        descriptors, votes = archive[f"{split}_descriptor"], archive[f"{split}_votes"]
        if split == "test":  # judged by the mean of the votes
            return FaceBank(descriptors, archive["test_affect"])
    if split != "train":
        return FaceBank(descriptors, sharpened(votes))
    return FaceBank(descriptors, sharpened(votes), rarity(votes), alike=descriptors.shape[1] - APART)


def gated(sessions: list[VoiceSession], gate: SpeechGate | None) -> list[VoiceSession]:
    """Returns sessions whose audio is present while the gate is open; those without any are left out."""
    if gate is None:
        return sessions
    kept = []
    for session in sessions:
        gate.reset()
        present = session.present.copy()
        for tick in np.flatnonzero(session.present):
            present[tick] = gate.push(session.lld[tick])
        if present.any():
            kept.append(replace(session, present=present))
    return kept


def state_spread(edge: Edge, faces: Path) -> tuple[Edge, dict[str, float], dict[str, Any]]:
    """Trains and calibrates the standard deviations of a face's values.

    Args:
        edge: the trained tail.
        faces: descriptors of FER+.

    Returns:
        The system with its spread, `face_half_68_of_std` of the manifest, and how true it is on the test part, by hindrance.
    """
    with np.load(faces, allow_pickle=False) as archive:
        data = {name: archive[name] for name in archive.files}
    views, votes = data["train_descriptor"], data["train_votes"]
    chosen = np.random.default_rng(0).integers(0, views.shape[1], len(views))
    seen = [look(edge, views[:, 0], votes), look(edge, views[np.arange(len(views)), chosen], votes)]
    seen.append(look(edge, views[:, -1], votes))
    together = Seen(
        *(np.concatenate([getattr(one, name) for one in seen]) for name in ("descriptors", "values", "votes"))
    )
    spread = fit_spread(together, weight=np.tile(rarity(votes), len(seen)))

    def kinds(split: str) -> dict[str, Seen]:
        named = {"plain": data[f"{split}_descriptor"][:, 0]} | {name: data[f"{split}_{name}"] for name in HINDRANCES}
        return {name: look(edge, rows, data[f"{split}_votes"]) for name, rows in named.items()}

    halves = calibrate_spread(spread, kinds("valid"))
    full = Edge(replace(edge.config, spread_size=spread.out.weight.shape[1]))
    full.load_state_dict(edge.state_dict() | {f"spread.{name}": value for name, value in spread.state_dict().items()})
    return full.eval(), halves, {name: honesty(spread, one, halves) for name, one in kinds("test").items()}


def cached_sessions(
    work: Path, name: str, clips: list[Clip], spec: PreprocessSpec, *, seed: int, scale: float
) -> list[VoiceSession]:
    """Returns the sessions of some clips, from the cache when it was made for the same preprocessing and scale."""
    path = work / f"{name}-{spec.fingerprint}-{scale:g}.npz"
    if not path.exists():
        start = time.monotonic()
        save_sessions(path, make_sessions(clips, spec, seed=seed, scale=scale))
        logger.info("%s: made in %.0f s", path.name, time.monotonic() - start)
    return load_sessions(path)


def train(
    sessions: list[Prepared],
    faces: FaceBank,
    held: list[Prepared],
    held_faces: FaceBank,
    minutes: float,
    *,
    start_from: Edge | None = None,
    **mode: Any,
) -> Edge:
    """Returns a trained system; now and then its agreement on held-out voices and faces is logged."""
    watch = [PseudoCorpus(held, held_faces, np.random.default_rng(5), augment=False).batch(96, 200)]
    config = FitConfig(minutes=minutes)
    corpus = PseudoCorpus(sessions, faces, np.random.default_rng(2), **mode)
    edge_config = EdgeConfig(video_size=faces.descriptors.shape[2])
    return fit(corpus, config, edge_config, watch=lambda model: evaluate(model, watch), start_from=start_from)


def main() -> None:
    """Runs the recipe."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    more = dict(arguments.more)
    arguments.work = arguments.work / "+".join(sorted(more))  # its caches are of other data
    arguments.work.mkdir(parents=True, exist_ok=True)
    spec = PreprocessSpec()
    clips = with_voices(load_clips(arguments.shared), more)
    arguments.faces = with_faces(arguments.faces, more, arguments.encoder, arguments.work)
    held_clips = [clip for clip in clips if is_held_out(clip)]
    sessions: list[VoiceSession] = []
    if arguments.minutes > 0 or arguments.unseen != "none" or not arguments.statistics:
        train_clips = [clip for clip in clips if not is_held_out(clip)]
        sessions = cached_sessions(arguments.work, "train", train_clips, spec, seed=TRAIN_SEED, scale=arguments.scale)
    held_sessions = cached_sessions(
        arguments.work, "held", held_clips, spec, seed=HELD_OUT_SEED, scale=0.25 * arguments.scale
    )
    train_faces, valid_faces = face_bank(arguments.faces, "train"), face_bank(arguments.faces, "valid")
    results: dict[str, Any] = {}
    for kind, folds in (("speakers", speakers_left_out(clips)), ("corpora", corpora_left_out(clips))):
        if arguments.unseen in {kind, "both"}:
            results[f"unseen_{kind}"] = unseen_voices(
                folds,
                clips,
                sessions + held_sessions,
                spec,
                FitConfig(minutes=math.inf, steps=arguments.unseen_steps),
                video_size=train_faces.descriptors.shape[2],
                work=arguments.work,
            )
    if arguments.minutes > 0 or arguments.start:
        gate = None
        if arguments.speech:
            with np.load(arguments.speech, allow_pickle=False) as archive:
                gate = SpeechGate(dict(archive))
        sessions, held_sessions = gated(sessions, gate), gated(held_sessions, gate)
        if arguments.statistics:
            statistics = json.loads(arguments.statistics.read_text())["statistics"]
        else:
            statistics = column_statistics(sessions, spec)
        held = prepare(held_sessions, spec, statistics, cache=arguments.work)
        edge = start_from = load_weights(arguments.start) if arguments.start else None
        if arguments.minutes > 0 or edge is None:
            prepared = prepare(sessions, spec, statistics, cache=arguments.work)
            edge = train(prepared, train_faces, held, valid_faces, arguments.minutes, start_from=start_from)
        edge = adapt(edge, train_faces, steps=arguments.adapt) if arguments.adapt else edge
        results |= finish(edge, spec, statistics, held, valid_faces, held_clips, arguments, unseen=results)
    if arguments.results:
        arguments.results.write_text(json.dumps({**stamp(), **results}, indent=1) + "\n")
    logger.info("%s", json.dumps(results))


def finish(
    edge: Edge,
    spec: PreprocessSpec,
    statistics: dict[str, Any],
    held: list[Prepared],
    valid_faces: FaceBank,
    held_clips: list[Clip],
    arguments: argparse.Namespace,
    *,
    unseen: dict[str, Any],
) -> dict[str, Any]:
    """Calibrates, measures and writes.

    Args:
        edge: the trained system.
        spec: of the model.
        statistics: of the manifest.
        held: sessions of held-out speakers.
        valid_faces: held-out faces.
        held_clips: clips of held-out speakers.
        arguments: of the command.
        unseen: figures of the leave-out trainings, where they were made.

    Returns:
        The figures.
    """
    shares = (0.25, 0.15, 0.15, 0.45)

    def held_batches(*seeds: int) -> list[Any]:
        draws = (np.random.default_rng(seed) for seed in seeds)
        corpora = [PseudoCorpus(held, valid_faces, rng, mode_shares=shares, augment=False) for rng in draws]
        return [corpus.batch(64, 300) for corpus in corpora for _ in range(12)]

    edge, halves, truth = state_spread(edge, arguments.faces)
    table = fit_table(collect(edge, held_batches(11, 14))) | {"face_half_68_of_std": halves}
    fresh = held_batches(12, 15)
    accuracy = {
        "pseudo_corpus_held_out_ccc": evaluate(edge, fresh),
        "interval_coverage": interval_coverage(table, collect(edge, fresh)),
        "ferplus_test": face_report(edge, face_bank(arguments.faces, "test")),
        "ferplus_test_one_rater": truth,
        "held_out_voices": voice_report(edge, recitals(held_clips, spec), spec, statistics),
    }
    golden = PseudoCorpus(held, valid_faces, np.random.default_rng(13), augment=False).batch(4, 150)
    manifest = {
        "fingerprint": spec.fingerprint,
        "statistics": statistics,
        "uncertainty": table,
        "accuracy": accuracy | summary_of_unseen(unseen),
    }
    write_all(edge, arguments.output, golden=golden, manifest=manifest, also=provenance_of(dict(arguments.more)))
    return {**accuracy, "uncertainty": table}


def summary_of_unseen(unseen: dict[str, Any]) -> dict[str, Any]:
    """Returns the manifest's entry on unseen voices: arousal CCC, pooled over speakers and by corpus."""
    result: dict[str, Any] = {}
    if "unseen_speakers" in unseen:
        result["unseen_speakers_emodb_arousal_ccc"] = unseen["unseen_speakers"]["pooled"]["arousal_ccc"]
    if "unseen_corpora" in unseen:
        folds = unseen["unseen_corpora"]["folds"]
        result["unseen_corpora_arousal_ccc"] = {name: report["arousal_ccc"] for name, report in folds.items()}
    return result


if __name__ == "__main__":
    main()
