"""Builds engines with TensorRT (10 or later) or TensorRT-RTX: one code path, in its own process, kept in a cache.

```
build_engine     parent: cache, then a child process with the toolchain's library path; progress comes back line by line
python -m edgeaff.backends.tensorrt_build REQUEST     the child: parse, build, write
```
The child keeps a crash of the builder away from the program (TensorRT-RTX 1.7 ends the process when it looks for its own library by a
name that its wheel does not ship), gives all its memory back, and can be stopped. TensorRT-RTX needs no GPU to build for named targets.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgeaff import errors as errors_module
from edgeaff.backends.graph import Progress
from edgeaff.backends.onnx_edit import for_plugin, fusion_nodes, load
from edgeaff.backends.openvino import without_functions
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError, EdgeaffError

PACKAGES = ("tensorrt", "tensorrt_rtx")
INSTALL = "pip install edgeaff[tensorrt] (TensorRT), or pip install tensorrt-rtx-cu13 onnx (TensorRT-RTX: GeForce and RTX cards)"
CACHE_FORMAT = 1
REPORTS = 10  # most progress lines of a phase
Shape = tuple[int, ...]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildRequest:
    """Options of an engine build; together with the model's bytes and the toolchain's version they determine the engine.

    Attributes:
        toolchain: "tensorrt" or "tensorrt_rtx".
        targets: GPUs as "sm_86"; empty: this machine's (TensorRT), or any RTX card (TensorRT-RTX).
        plugin: whether the fusion node becomes our plugin; else its function is written out.
        profiles: input -> (smallest, usual, largest) shape, for every input with a free size.
        workspace_mib: most scratch memory of a layer.
        library: path of the C++ plugin; empty for the Python one.
    """

    toolchain: str
    targets: tuple[str, ...] = ()
    plugin: bool = True
    profiles: Mapping[str, tuple[Shape, Shape, Shape]] = field(default_factory=dict)
    workspace_mib: int = 256
    library: str = ""


@dataclass(frozen=True)
class Engine:
    """A built engine.

    Attributes:
        plan: its bytes.
        figures: toolchain, version, targets, layers, plugin_layers, bytes, seconds, and `cached`: whether it was there already.
    """

    plan: bytes
    figures: dict[str, Any]


def find_toolchain(name: str | None = None) -> str:
    """Returns the package to build with: the one that is named, else TensorRT, else TensorRT-RTX.

    Args:
        name: tensorrt, tensorrt_rtx, or None.

    Raises:
        ArgumentError: the name is another one.
        BackendUnavailableError: it is not installed.
    """
    if name is not None and name not in PACKAGES:
        raise ArgumentError(f"toolchain must be one of {', '.join(PACKAGES)}, got {name!r}; choose one of them.")
    for package in PACKAGES if name is None else (name,):
        if find_spec(package) is not None:
            return package
    raise BackendUnavailableError(f"{name or 'TensorRT'} must be installed, got none; {INSTALL}.")


def import_toolchain(name: str) -> Any:
    """Returns the module.

    Raises:
        BackendUnavailableError: it cannot be loaded.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library that it needs is not there
        raise BackendUnavailableError(f"{name} must be installed, got: {error}; {INSTALL}.") from error


def usual_folder() -> Path | None:
    """Returns where engines are kept, None for a user without a home folder (no HOME, no entry in passwd)."""
    try:
        return Path.home() / ".cache" / "edgeaff" / "engines"
    except RuntimeError:
        return None


class EngineCache:
    """Engines by what they were built from, with their sums.

    Args:
        folder: None for `.cache/edgeaff/engines` in the home folder.

    Attributes:
        folder: where they are kept; None for a user without a home folder, who keeps none.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = usual_folder() if folder is None else Path(folder)

    @staticmethod
    def key(model: bytes, request: BuildRequest, version: str, gpu: str) -> str:
        """Returns the name of an engine: it changes with the model, the request, the toolchain, the GPU and its driver."""
        facts = {"format": CACHE_FORMAT, "model": hashlib.sha256(model).hexdigest(), "version": version, "gpu": gpu}
        return hashlib.sha256(json.dumps({**facts, **asdict(request)}, sort_keys=True).encode()).hexdigest()[:32]

    def get(self, key: str) -> Engine | None:
        """Returns an engine, or None if there is none or it was damaged."""
        if self.folder is None:
            return None
        try:
            plan = (self.folder / f"{key}.engine").read_bytes()
            figures = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if figures.get("sha256") != hashlib.sha256(plan).hexdigest():
            logger.warning("The engine %s has another checksum than recorded; it is rebuilt.", key)
            return None
        return Engine(plan, {**figures, "cached": True})

    def put(self, key: str, engine: Engine) -> None:
        """Keeps an engine; one that cannot be written is only not kept."""
        if self.folder is None:
            logger.warning("There is no home folder to keep engines in; they are built at every start.")
            return
        figures = {**engine.figures, "sha256": hashlib.sha256(engine.plan).hexdigest()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, data in ((f"{key}.engine", engine.plan), (f"{key}.json", json.dumps(figures, indent=1).encode())):
                with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                    file.write(data)
                os.replace(file.name, self.folder / name)
        except OSError as error:
            logger.warning(
                "The engine cache %s is not writable (%s); the engine is rebuilt next time.",
                self.folder,
                error,
            )


def build_engine(
    model: bytes,
    request: BuildRequest,
    *,
    gpu: str = "",
    cache: EngineCache | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Returns an engine, from the cache or built in a child process.

    Args:
        model: bytes of an ONNX file; its precision is that of the engine (strongly typed).
        request: how to build.
        gpu: which GPU and driver it is for, where `targets` does not say it.
        cache: where engines are kept; None builds and keeps nothing.
        progress: called with phase, steps done and steps; returning False stops the build.

    Raises:
        BackendUnavailableError: the toolchain or onnx is not installed.
        BundleError: the toolchain refuses the graph.
    """
    version = package_version(request.toolchain)
    key = EngineCache.key(model, request, version, gpu)
    found = cache.get(key) if cache is not None else None
    if found is not None:
        return found
    prepared = for_plugin(model) if request.plugin else without_functions(model)
    start = time.perf_counter()
    plan, figures = _run_child(prepared, request, progress)
    figures = {
        "toolchain": request.toolchain,
        "version": version,
        "library": request.library,
        "targets": list(request.targets) or [gpu or "portable"],
        **figures,
        "bytes": len(plan),
        "seconds": round(time.perf_counter() - start, 2),
        "cached": False,
    }
    engine = Engine(plan, figures)
    if cache is not None:
        cache.put(key, engine)
    return engine


def package_version(package: str) -> str:
    """Returns the version of a toolchain without importing it, "unknown" for one that is no Python package (JetPack)."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    for distribution in packages_distributions().get(package, [package]):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


def _run_child(model: bytes, request: BuildRequest, progress: Progress | None) -> tuple[bytes, dict[str, Any]]:
    """Returns plan and figures of a build in a child process.

    Raises:
        BundleError: the child rejects the graph, ends without an engine, or was stopped.
    """
    with tempfile.TemporaryDirectory(prefix="edgeaff-engine-") as folder:
        path = Path(folder)
        (path / "model.onnx").write_bytes(model)
        (path / "request.json").write_text(json.dumps(asdict(request)), encoding="utf-8")
        with open(path / "errors.txt", "w+", encoding="utf-8") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "edgeaff.backends.tensorrt_build", folder],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(path, request.toolchain),
            )
            figures = _listen(child, progress)
            errors.seek(0)
            stated = [line.strip() for line in errors if line.strip()]
        plan = path / "engine.plan"
        if figures is None or not plan.exists():
            raise BundleError(
                f"{request.toolchain} must build an engine for {', '.join(request.targets) or 'this machine'}, got exit code "
                f"{child.returncode}: {stated[-1] if stated else 'no message'}; try plugin=False or another precision."
            )
        return plan.read_bytes(), figures


def _listen(child: subprocess.Popen[str], progress: Progress | None) -> dict[str, Any] | None:
    """Returns the child's figures, None if it gave none, after handing its progress on; raises what the child states it raised.

    Raises:
        BundleError: the build was stopped.
    """
    figures = None
    assert child.stdout is not None
    try:
        for line in child.stdout:
            try:
                stated = json.loads(line)
            except ValueError:
                continue  # the toolchain's own output
            if "figures" in stated:
                figures = stated["figures"]
            elif "error" in stated:
                kind = getattr(errors_module, stated["kind"], BundleError)
                raise kind(stated["error"])
            elif progress is not None and progress(stated["phase"], stated["done"], stated["steps"]) is False:
                raise BundleError("The build was stopped before its end. Start it again.")
    finally:
        if figures is None:
            child.kill()
        child.wait()
        child.stdout.close()
    return figures if child.returncode == 0 else None


def _environment(folder: Path, toolchain: str) -> dict[str, str]:
    """Returns the child's environment: this edgeaff, and the library's own folder under the plain name it looks for."""
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    if toolchain == "tensorrt_rtx":
        libraries = find_spec("tensorrt_rtx_libs")
        places = list(libraries.submodule_search_locations or []) if libraries is not None else []
        for place in places:
            for library in Path(place).glob("libtensorrt_rtx.so.*"):
                (folder / "libtensorrt_rtx.so").symlink_to(library)
                break
        environment["LD_LIBRARY_PATH"] = os.pathsep.join([str(folder), *places, environment.get("LD_LIBRARY_PATH", "")])
    return environment


# --- the child --------------------------------------------------------------------------------------------------------------


def build(model: bytes, request: BuildRequest, progress: Progress | None = None) -> tuple[bytes, dict[str, Any]]:
    """Returns plan and figures, built in this process.

    Args:
        model: prepared by `for_plugin`, or without functions.
        request: how to build.
        progress: as in `build_engine`.

    Raises:
        BundleError: the toolchain refuses the graph.
    """
    trt = import_toolchain(request.toolchain)
    if request.plugin and fusion_nodes(load(model)):
        from edgeaff.backends.tensorrt_plugin import register

        register(trt, request.library)
    log = make_logger(trt)
    builder = trt.Builder(log)
    strongly = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly is None else 1 << int(strongly))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        stated = "; ".join(parser.get_error(index).desc().split("\n[")[0] for index in range(parser.num_errors))
        raise BundleError(f"{request.toolchain} must read the graph, got: {stated}; export it again.")
    config = _configure(trt, builder, network, request)
    if progress is not None:
        config.progress_monitor = _make_monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BundleError(f"{request.toolchain} must build the graph, got: {log.last_error}; try another precision.")
    kinds = [network.get_layer(index).type for index in range(network.num_layers)]
    plugin_layers = sum(kind == trt.LayerType.PLUGIN_V3 for kind in kinds)
    return bytes(plan), {"layers": len(kinds), "plugin_layers": plugin_layers}


def _configure(trt: Any, builder: Any, network: Any, request: BuildRequest) -> Any:
    """Returns the builder's settings.

    Raises:
        ArgumentError: a target or a profile is missing or unknown.
    """
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib << 20)
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32; the graph states where it wants less
    if request.targets:
        _set_targets(trt, config, request)
    profile, free = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 not in tuple(tensor.shape):
            continue
        if tensor.name not in request.profiles:
            raise ArgumentError(
                f"profiles must have shapes for {tensor.name} {tuple(tensor.shape)}, got {sorted(request.profiles)}; add them."
            )
        profile.set_shape(tensor.name, *(tuple(shape) for shape in request.profiles[tensor.name]))
        free = True
    if free:
        config.add_optimization_profile(profile)
    return config


def _set_targets(trt: Any, config: Any, request: BuildRequest) -> None:
    """Sets the GPUs to build for.

    Raises:
        ArgumentError: the toolchain builds for its own GPU alone, or does not know one of them.
    """
    kinds = getattr(trt, "ComputeCapability", None)
    if kinds is None:
        raise ArgumentError(
            f"targets must be empty for {request.toolchain}, which builds for the GPU of its machine, got {list(request.targets)}; "
            "build there, or use tensorrt_rtx."
        )
    names = {name.lower().replace("sm", "sm_"): name for name in dir(kinds) if name.startswith("SM")}
    config.num_compute_capabilities = len(request.targets)
    for index, target in enumerate(request.targets):
        if target not in names:
            raise ArgumentError(f"targets must be among {', '.join(sorted(names))}, got {target!r}; leave it out.")
        config.set_compute_capability(getattr(kinds, names[target]), index)


def make_logger(trt: Any) -> Any:
    """Returns a logger that hands warnings and errors of TensorRT to ours, and keeps the last error."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        """TensorRT's messages, in our log."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = "no message"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last_error = message
                logger.error("%s: %s", trt.__name__, message)
            elif severity == trt.ILogger.WARNING:
                logger.debug("%s: %s", trt.__name__, message)

    return Logger()


def _make_monitor(trt: Any, progress: Progress) -> Any:
    """Returns a monitor that reports the phases of a build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Phases are nested; steps are reported as they come, from any thread."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress(phase_name, step + 1, self._steps.get(phase_name, 0)) is not False

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code, after building what a folder asks for: `model.onnx`, `request.json` -> `engine.plan`.

    Progress, figures and errors go to standard output as lines of JSON.
    """
    (folder,) = sys.argv[1:] if arguments is None else arguments
    path = Path(folder)
    raw = json.loads((path / "request.json").read_text(encoding="utf-8"))
    request = BuildRequest(**{**raw, "targets": tuple(raw["targets"])})

    def say(**what: Any) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def report(phase: str, done: int, steps: int) -> None:
        if done in (0, steps) or done * REPORTS // steps != (done - 1) * REPORTS // steps:
            say(phase=phase, done=done, steps=steps)

    try:
        plan, figures = build((path / "model.onnx").read_bytes(), request, report)
    except EdgeaffError as error:
        say(error=str(error), kind=type(error).__name__)
        return 1
    (path / "engine.plan").write_bytes(plan)
    say(figures=figures)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    sys.exit(main())
