"""Makes the kernel kill this process when Python or a C++ library asks for a socket. Linux, seccomp-bpf."""

import ctypes
import platform
import struct

_ARCHITECTURES = {"x86_64": (0xC000003E, (41, 53)), "aarch64": (0xC00000B7, (198, 199))}  # socket, socketpair
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_UNIX = 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def forbid_sockets(*, allow_unix: bool = False) -> None:
    """From now on socket() and socketpair() end this process with SIGSYS. allow_unix: but for those that stay on the machine."""
    architecture, numbers = _ARCHITECTURES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 2, 0, numbers[0]),
        (_EQUAL, 1, 0, numbers[1]),
        (_RETURN, 0, 0, _ALLOW),
    ]
    if allow_unix:
        program += [(_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 0, 1, _UNIX), (_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _KILL))
    code = b"".join(struct.pack("<HBBI", *row) for row in program)
    libc = ctypes.CDLL(None, use_errno=True)
    prepared = _Program(len(program), code)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, ctypes.byref(prepared), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), f"prctl{arguments[:2]} is refused")
