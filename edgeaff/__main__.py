"""`edgeaff` and `python -m edgeaff`: a process around `edgeaff.cli.main.main`.

Repairs the environment of the process before other imports: closed standard streams, names that they cannot encode, and
interruption at any instant (exit code 130, no traceback).
"""

import _signal  # the module signal loads enum first, during which Ctrl-C would print a traceback
import os
import sys


def leave(number: int, frame: object) -> None:
    """Handler of Ctrl-C until a command runs: ends the process at once, because there is nothing to close yet."""
    try:
        os.write(2, b"edgeaff: interrupted.\n")
    finally:
        os._exit(130)


def entry() -> None:
    """Runs the command line and exits with its code."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else it is ignored, as in a background job
        _signal.signal(_signal.SIGINT, leave)
    from edgeaff.cli import process, process_list

    process_list.hide_secrets()
    process.prepare(leave)
    if getattr(sys, "frozen", False):  # a worker process of a program made with PyInstaller does its work here and ends
        from multiprocessing import freeze_support

        freeze_support()
    from edgeaff.cli.main import main

    try:
        code = main()
    except SystemExit as ending:  # of argparse, after --help or a wrong argument
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    process.finish(code)


if __name__ == "__main__":
    entry()
