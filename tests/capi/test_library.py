"""libedgeaff as others meet it: headers, symbols, build systems, memory, wrong arguments, damaged bundles."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.capi.conftest import ROOT, run
from tests.capi.library import ALLOCATE, RELEASE, Allocator, CallFailed, Event, Image, Library

pytestmark = [pytest.mark.slow, pytest.mark.needs_native, pytest.mark.needs_onnx]
ARGUMENT, STATE, BUNDLE, IO, MEMORY, UNSUPPORTED = -1, -2, -3, -4, -5, -6
SECOND = 10**9
LARGEST_STRIPPED = 1_200_000
WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Werror")
LIBRARIES = {"libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
GRAY = np.full((240, 320, 3), 128, np.uint8)


@pytest.mark.parametrize(("compiler", "standard"), [("cc", "c99"), ("cc", "c11"), ("c++", "c++17"), ("c++", "c++20")])
def test_header_compiles_without_a_warning(compiler: str, standard: str) -> None:
    language = "c" if compiler == "cc" else "c++"
    header = ROOT / "csrc" / "include" / "edgeaff.h"
    own = "-Wstrict-prototypes" if language == "c" else "-Wold-style-cast"
    run(compiler, "-x", language, f"-std={standard}", *WARNINGS, own, "-fsyntax-only", header)


def test_only_the_interface_is_exported_and_only_libc_is_needed(prefix: Path) -> None:
    shared = prefix / "lib" / "libedgeaff.so.1"
    names = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", shared).splitlines()} - {
        "EDGEAFF_1"
    }
    declared = set(re.findall(r"EDGEAFF_API[^;]*?\b(edgeaff_\w+)\(", (prefix / "include" / "edgeaff.h").read_text()))
    assert names == declared
    assert set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", shared))) <= LIBRARIES
    assert "libedgeaff.so.1" in run("readelf", "-d", shared)
    static = {
        line.split()[-1]
        for line in run("nm", "-g", "--defined-only", prefix / "lib" / "libedgeaff.a").splitlines()
        if " T " in line
    }
    assert static == declared


def test_stripped_library_is_small(prefix: Path, tmp_path: Path) -> None:
    run("strip", "-o", tmp_path / "stripped.so", prefix / "lib" / "libedgeaff.so.1")
    assert (tmp_path / "stripped.so").stat().st_size <= LARGEST_STRIPPED


CONSUMER = """cmake_minimum_required(VERSION 3.20)
project(consumer LANGUAGES C CXX)
find_package(edgeaff 0.1 REQUIRED)
add_executable(shared firmware_loop.c)
target_link_libraries(shared PRIVATE edgeaff::edgeaff)
add_executable(static firmware_loop.c)
target_link_libraries(static PRIVATE edgeaff::static)
add_executable(cpp push_loop.cpp)
set_target_properties(cpp PROPERTIES CXX_STANDARD 17)
target_link_libraries(cpp PRIVATE edgeaff::edgeaff)
"""


def test_consumer_builds_with_cmake_and_runs(prefix: Path, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER)
    for example in ("c/firmware_loop.c", "cpp/push_loop.cpp"):
        shutil.copy(ROOT / "examples" / example, tmp_path)
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")
    for name in ("shared", "static", "cpp"):
        run(tmp_path / "build" / name, bundle_path)


def test_consumer_builds_with_pkg_config_and_gives_the_events_of_a_file(
    prefix: Path, bundle_path: Path, tmp_path: Path
) -> None:
    flags = run("pkg-config", "--cflags", "--libs", prefix / "lib" / "pkgconfig" / "edgeaff.pc").split()
    program, source = tmp_path / "file_loop", ROOT / "examples" / "c" / "file_loop.c"
    run("cc", "-std=c99", *WARNINGS, source, "-o", program, *flags, f"-Wl,-rpath,{prefix}/lib")
    (tmp_path / "frames.rgb").write_bytes(GRAY.tobytes() * 20)
    (tmp_path / "samples.s16").write_bytes(np.zeros(20 * 16_000 // 30, np.int16).tobytes())
    assert run(program, bundle_path, tmp_path / "frames.rgb", 320, 240, tmp_path / "samples.s16").count("status") == 20


def test_first_program_of_the_page_builds_and_prints_values(prefix: Path, bundle_path: Path, tmp_path: Path) -> None:
    program = (ROOT / "docs" / "c_api.md").read_text(encoding="utf-8").partition("```c\n")[2].partition("```")[0]
    assert 0 < program.count("\n") < 60
    (tmp_path / "first.c").write_text(program)
    shutil.copy(bundle_path, tmp_path / "edge.eaff")
    flags = run("pkg-config", "--cflags", "--libs", prefix / "lib" / "pkgconfig" / "edgeaff.pc").split()
    run("cc", "-std=c99", *WARNINGS, tmp_path / "first.c", "-o", tmp_path / "first", *flags, f"-Wl,-rpath,{prefix}/lib")
    lines = subprocess.run([tmp_path / "first"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert lines.count("\n") == 300


@pytest.mark.needs_rust
def test_rust_example_builds_and_runs(prefix: Path, bundle_path: Path, tmp_path: Path) -> None:
    program, source = tmp_path / "push_loop", ROOT / "examples" / "rust" / "push_loop.rs"
    run(
        "rustc",
        "--edition",
        "2021",
        "-D",
        "warnings",
        "-L",
        prefix / "lib",
        "-C",
        f"link-arg=-Wl,-rpath,{prefix}/lib",
        source,
        "-o",
        program,
    )
    assert run(program, bundle_path).count("status") == 60


class Counting:
    """An allocator that counts, and fails from a chosen call on."""

    def __init__(self, fail_from: int | None = None) -> None:
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
            ctypes.c_void_p,
            [ctypes.c_size_t],
            [ctypes.c_void_p],
        )
        self.calls, self.held, self.most, self._fail_from = 0, 0, 0, fail_from

        def allocate(_: Any, count: int, alignment: int) -> int | None:
            self.calls += 1
            if self._fail_from is not None and self.calls >= self._fail_from:
                return None
            self.held += count
            self.most = max(self.most, self.held)
            return libc.malloc(count)

        def release(_: Any, memory: int, count: int) -> None:
            self.held -= count
            libc.free(memory)

        self.given = Allocator(allocate=ALLOCATE(allocate), release=RELEASE(release))


def push_seconds(session: Any, seconds: int, *, start: int = 0) -> None:
    noise = np.random.default_rng(3).integers(-3000, 3000, 48_000 * 2, dtype=np.int16)
    for tick in range(30 * start, 30 * (start + seconds)):
        session.push_frame(np.roll(GRAY, tick, 1), pts_ns=tick * SECOND // 30)
        session.push_audio(noise[tick % 9 :][:1600], pts_ns=tick * SECOND // 30, sample_rate_hz=48_000)


def test_a_session_asks_for_no_memory_after_its_first_second_and_stays_within_the_bound(
    library: Library, bundle_path: Path
) -> None:
    counting = Counting()
    model = library.open(bundle_path, counting.given)
    bound, options = ctypes.c_size_t(), library.options(most_width=320, most_height=240, most_rate_hz=48_000)
    assert library.c.edgeaff_session_memory(model, ctypes.byref(options), ctypes.byref(bound)) == 0
    before = counting.held
    session = library.session(model, options)
    push_seconds(session, 1)
    calls = counting.calls
    push_seconds(session, 9, start=1)
    assert counting.calls == calls
    assert counting.held - before <= bound.value
    session.close()
    library.c.edgeaff_model_release(model)
    assert counting.held == 0


@pytest.mark.parametrize("fail_from", [1, 2, 3, 5, 8, 13, 21, 34])
def test_an_allocator_without_memory_is_an_error_and_leaks_nothing(
    library: Library, bundle_path: Path, fail_from: int
) -> None:
    counting = Counting(fail_from)
    try:
        model = library.open(bundle_path, counting.given)
        session = library.session(model)
        session.close()
        library.c.edgeaff_model_release(model)
    except CallFailed as error:
        assert error.code == MEMORY


def test_a_thousand_sessions_leave_memory_as_it_was(library: Library, bundle_path: Path) -> None:
    counting = Counting()
    model = library.open(bundle_path, counting.given)
    held = counting.held
    options = library.options(most_width=320, most_height=240, audio=0)
    for _ in range(1000):
        library.session(model, options).close()
    assert counting.held == held
    library.c.edgeaff_model_release(model)


def failing(call: Any, *given: Any, **named: Any) -> int:
    with pytest.raises(CallFailed) as caught:
        call(*given, **named)
    return caught.value.code


def test_wrong_arguments_are_codes_with_a_message(library: Library, bundle_path: Path, tmp_path: Path) -> None:
    assert failing(library.open, tmp_path / "none.eaff") == IO
    (tmp_path / "text.eaff").write_text("no bundle")
    assert failing(library.open, tmp_path / "text.eaff") == BUNDLE
    model = library.open(bundle_path)
    for wrong in (
        {"max_faces": 0},
        {"threads": 2},
        {"video": 0, "audio": 0},
        {"staleness_seconds": float("nan")},
        {"event_room": 0},
    ):
        assert failing(library.session, model, library.options(**wrong)) == ARGUMENT
    session = library.session(model, library.options(most_width=320, most_height=240, most_rate_hz=48_000))
    assert failing(session.push_frame, np.zeros((480, 640, 3), np.uint8), pts_ns=0) == ARGUMENT
    assert failing(session.push_audio, np.zeros(9, np.int16), pts_ns=0, sample_rate_hz=96_000) == ARGUMENT
    assert failing(session.push_lld, np.full((1, 65), np.nan), pts_ns=0) == ARGUMENT
    assert failing(session.degrade, 3) == ARGUMENT
    assert library.c.edgeaff_push_frame(session.handle, ctypes.byref(Image(width=9, height=9)), 0) == ARGUMENT
    session.finish()
    assert failing(session.push_frame, GRAY, pts_ns=0) == STATE
    assert failing(session.finish) == STATE
    session.reset()
    session.push_frame(GRAY, pts_ns=0)
    session.close()
    assert library.c.edgeaff_push_frame(None, None, 0) == ARGUMENT


def test_an_event_that_waits_too_long_gives_way_and_is_counted(library: Library, bundle_path: Path) -> None:
    session = library.session(library.open(bundle_path), library.options(audio=0, event_room=4))
    view = Image(width=320, height=240)
    view.planes[0] = GRAY.ctypes.data
    waiting = [
        library.c.edgeaff_push_frame(session.handle, ctypes.byref(view), tick * SECOND // 30) for tick in range(10)
    ]
    assert waiting == [1, 2, 3, 4, 4, 4, 4, 4, 4, 4]
    event = Event()
    assert library.c.edgeaff_poll(session.handle, ctypes.byref(event)) == 1 and event.seq == 6
    assert session.counts["events_lost"] == 6
    session.close()


def test_a_struct_of_an_older_caller_is_filled_as_far_as_it_reaches(library: Library, bundle_path: Path) -> None:
    session = library.session(library.open(bundle_path), library.options(audio=0))
    session.push_frame(GRAY, pts_ns=0)
    session.reset()
    view = Image(width=320, height=240)
    view.planes[0] = GRAY.ctypes.data
    assert library.c.edgeaff_push_frame(session.handle, ctypes.byref(view), 0) == 1
    event = Event()
    event.size, event.score = Event.pts_ns.offset, 7.0
    assert library.c.edgeaff_poll(session.handle, ctypes.byref(event)) == 1
    assert (event.size, event.score) == (Event.pts_ns.offset, 7.0)
    session.close()


def test_damaged_bundles_are_refused(library: Library, bundle_path: Path) -> None:
    whole = bundle_path.read_bytes()
    library.c.edgeaff_model_release(library.open_bytes(whole))
    rng = np.random.default_rng(11)
    for cut in (0, 1, 21, 22, 100, len(whole) // 2, len(whole) - 1):
        assert failing(library.open_bytes, whole[:cut]) in (ARGUMENT, BUNDLE)
    head, tail = whole[:4096], whole[-2048:]
    for _ in range(300):
        damaged = bytearray(whole)
        span = rng.choice(["head", "tail", "any"])
        places = {
            "head": rng.integers(len(head)),
            "tail": len(whole) - 1 - rng.integers(len(tail)),
            "any": rng.integers(len(whole)),
        }
        at = places[str(span)]
        damaged[int(at)] ^= int(rng.integers(1, 256))
        try:
            library.c.edgeaff_model_release(library.open_bytes(bytes(damaged)))
        except CallFailed as error:
            assert error.code in (BUNDLE, UNSUPPORTED)


def test_a_bundle_without_packed_networks_is_unsupported(library: Library, bundle_path: Path, tmp_path: Path) -> None:
    from edgeaff.bundle import ModelBundle
    from tests.packed_bundle import without_nets

    bundle = without_nets(ModelBundle.load(bundle_path))
    ModelBundle.save(tmp_path / "onnx.eaff", bundle.manifest, bundle.members)
    assert failing(library.open, tmp_path / "onnx.eaff") == UNSUPPORTED
