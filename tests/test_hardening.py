"""The compiled module is hardened (cmake/hardening.cmake): read from the file itself, without a tool."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs_linux, pytest.mark.needs_native]
LOAD, DYNAMIC, STACK, RELRO = 1, 2, 0x6474E551, 0x6474E552  # types of program headers
STRTAB, SYMTAB, STRSZ, FLAGS, FLAGS_1, BIND_NOW_TAG = 5, 6, 10, 30, 0x6FFFFFFB, 24  # tags of the dynamic section
EXECUTABLE = 1


class Elf:
    """The parts of a 64-bit little-endian ELF file that say how it was linked."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        assert self.data[:6] == b"\x7fELF\x02\x01", path
        (offset,) = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        rows = [struct.unpack_from("<IIQQQQQQ", self.data, offset + index * size) for index in range(count)]
        self.flags = {row[0]: row[1] for row in rows}
        self._segments = [row for row in rows if row[0] == LOAD]
        start, length = next((row[2], row[5]) for row in rows if row[0] == DYNAMIC)
        self.dynamic = dict(struct.iter_unpack("<qQ", self.data[start : start + length]))

    def symbols(self) -> set[str]:
        """Returns the names of the dynamic symbols."""
        start = self._offset(self.dynamic[STRTAB])
        names = self.data[start : start + self.dynamic[STRSZ]]
        return {name.decode() for name in names.split(b"\0") if name}

    def _offset(self, address: int) -> int:
        return next(row[2] + address - row[3] for row in self._segments if row[3] <= address < row[3] + row[6])


def modules(root: Path) -> list[Path]:
    return sorted((root / "edgeaff" / "ops").glob("*.so"))


def test_every_compiled_file_is_hardened(root: Path) -> None:
    assert modules(root)
    for path in modules(root):
        elf = Elf(path)
        assert RELRO in elf.flags, f"{path.name}: no read-only relocations"
        now = elf.dynamic.get(FLAGS, 0) & 8 or elf.dynamic.get(FLAGS_1, 0) & 1 or BIND_NOW_TAG in elf.dynamic
        assert now, f"{path.name}: symbols are bound lazily"
        assert not elf.flags[STACK] & EXECUTABLE, f"{path.name}: the stack can be executed"


def test_the_module_has_stack_protector_and_checked_calls(root: Path) -> None:
    found = set().union(*(Elf(path).symbols() for path in modules(root)))
    assert "__stack_chk_fail" in found
    assert any(name.startswith("__") and name.endswith("_chk") for name in found), "no call is checked (FORTIFY)"
