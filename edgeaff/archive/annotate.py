"""annotate: an archive in, a folder of event tables out. Run the same call again after any stop; it goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeaff.archive.driver import Driver, Progress
from edgeaff.archive.engines import Engine, LocalEngine
from edgeaff.archive.ledger import Ledger
from edgeaff.archive.limits import cores_at_hand
from edgeaff.archive.report import status_report, write_card, write_files_table
from edgeaff.archive.sources import find_tasks
from edgeaff.archive.storage import LocalStore, RemoteStore, open_store
from edgeaff.archive.task import Task
from edgeaff.archive.work import FORMATS
from edgeaff.bundle import open_bundle
from edgeaff.errors import ArgumentError
from edgeaff.version import __version__

ENGINES = ("local", "ray")
MEMORY_MB = 4096
# Of Runtime; they decide the values.
FILE_OPTIONS = ("backend", "max_faces", "detector_stride", "smoothing", "active_speaker", "identity", "baseline")


def annotate(
    sources: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    engine: str = "local",
    workers: int | None = None,
    kind: str = "parquet",
    bundle: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    memory_mb: int | None = MEMORY_MB,
    address: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    key: str | os.PathLike[str] | None = None,
    minimum_version: int | None = None,
) -> dict[str, Any]:
    """Annotates every file of the sources once.

    Args:
        sources: files, folders, globs, manifests (CSV, Parquet), tars, and the same in an object store.
        output: folder or `s3://` URI.
        engine: "local" (processes of this machine) or "ray" (an existing Ray cluster).
        workers: processes; None for one per core, or per CPU of the cluster.
        kind: "parquet" or "jsonl".
        bundle: a bundle; None for the one that ships.
        shard: (i, n): only the tasks of shard i of n, for job arrays.
        memory_mb: limit of a worker's address space; None for none.
        address: of the Ray cluster; None for the one that Ray finds.
        options: backend, max_faces, detector_stride, smoothing, active_speaker, identity, as in Runtime; baseline: True, each
            file begins with an empty one.
        progress: called twice a second.
        key: PEM file of the public key that must have signed the bundle, as for Runtime; every worker checks it.
        minimum_version: lowest version of the bundle that is taken.

    Returns:
        `{"done": N, "failed": [{"file", "reason"}], "poison": [...], "output": ...}` of the output as a whole.

    Raises:
        ArgumentError: an argument is out of range, a source names nothing, or the output was begun otherwise.
        BackendUnavailableError: a package is not installed.
        BundleError: the bundle cannot be used.
    """
    _check(engine, kind, workers, shard, options)
    tasks = [task for task in find_tasks(sources) if shard is None or task.in_shard(*shard)]
    path = None if bundle is None else os.fspath(bundle)
    trust = {"key": None if key is None else os.fspath(key), "minimum_version": minimum_version}
    loaded = open_bundle(path, key=key, minimum_version=minimum_version)
    run = {
        "bundle": str(loaded.manifest.model_id),
        "bundle_sha256": loaded.sha256,
        "fingerprint": loaded.spec.fingerprint,
        "version": __version__,
        "format": kind,
        **{name: (options or {}).get(name) for name in FILE_OPTIONS},
    }
    store = open_store(output)
    with _locked(store, shard):
        ledger = Ledger(store)
        ledger.check_run(run)
        if shard is None:
            store.clean()
        settings = {
            "bundle": path,
            "trust": trust,
            "output": store.root,
            "format": kind,
            "memory_mb": memory_mb,
            "options": {**{name: value for name, value in (options or {}).items() if value is not None}, "threads": 1},
        }
        _run_all(ledger, tasks, lambda: _engine(engine, settings, workers, address), progress)
        entries = list(ledger.entries())
        write_files_table(store, entries, kind)
        write_card(store, run, kind)
    return status_report(entries, os.fspath(output))


def read_status(output: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the report of an output folder, from its ledger alone.

    Args:
        output: folder or URI.

    Raises:
        ArgumentError: nothing was annotated into it.
    """
    text = os.fspath(output)
    if "://" not in text and not os.path.isdir(text):
        raise ArgumentError(f"output must be a folder that annotate has written, got {text!r}; check the path.")
    ledger = Ledger(open_store(output))
    if ledger.run() is None:
        raise ArgumentError(f"output must be a folder that annotate has written, got {text!r}; check the path.")
    return status_report(list(ledger.entries()), text)


def _run_all(
    ledger: Ledger, tasks: list[Task], make: Callable[[], Engine], progress: Callable[[Progress], None] | None
) -> None:
    if not ledger.open_tasks(tasks):
        return
    with contextlib.closing(make()) as engine:
        Driver(ledger, engine, progress=progress).run(tasks)


def _engine(name: str, settings: Mapping[str, Any], workers: int | None, address: str | None) -> Engine:
    if name == "ray":
        from edgeaff.archive.cluster import RayEngine

        return RayEngine(settings, workers, address=address)
    return LocalEngine(settings, workers or cores_at_hand())


def _check(
    engine: str, kind: str, workers: int | None, shard: tuple[int, int] | None, options: Mapping[str, Any] | None
) -> None:
    if engine not in ENGINES:
        raise ArgumentError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}; for Slurm use shard=(i, n).")
    if kind not in FORMATS:
        raise ArgumentError(f"kind must be one of {', '.join(FORMATS)}, got {kind!r}; choose one.")
    if kind == "parquet":
        from edgeaff.delivery.arrow import load_pyarrow

        load_pyarrow()
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers must be at least 1, got {workers}; leave it out for one per core.")
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise ArgumentError(f"shard must be i/n with 0 <= i < n, got {shard[0]}/{shard[1]}; count from 0.")
    unknown = sorted(set(options or {}) - set(FILE_OPTIONS))
    if unknown:
        raise ArgumentError(f"options must be among {', '.join(FILE_OPTIONS)}, got {', '.join(unknown)}; leave it out.")
    baseline = (options or {}).get("baseline")
    if baseline not in (None, False, True):
        raise ArgumentError(
            f"baseline must be True in an archive, got {baseline!r}; it is one person's, files are not."
        )


@contextlib.contextmanager
def _locked(store: LocalStore | RemoteStore, shard: tuple[int, int] | None) -> Iterator[None]:
    """Holds the output, or one shard of it, for this driver; an object store has no lock.

    Raises:
        ArgumentError: another driver holds it.
    """
    if isinstance(store, RemoteStore):
        yield
        return
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = Path(store.root) / "ledger"
    folder.mkdir(exist_ok=True)
    name = "lock" if shard is None else f"lock-{shard[0]}-of-{shard[1]}"
    with open(folder / name, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ArgumentError(
                f"output must be written by one driver at a time, got {store.root} in use; wait for it."
            ) from error
        yield
