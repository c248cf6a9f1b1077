"""The process that is stopped: states "well" before and after, then what it found, as JSON."""

from __future__ import annotations

import json
import sys
import time

import edgeaff
from tests.soak.cells_stream import MAKERS
from tests.soak.trial import Failure, Trial, bundle, running

NEEDS = {"camera": ("video",), "mic": ("audio",), "stream": ("video", "audio")}


def main(name: str, uri: str) -> int:
    """Returns the exit code."""
    trial = Trial(edgeaff.Runtime(bundle(), **MAKERS[name](uri)), *NEEDS[name])
    try:
        with running(trial):
            now = before = time.monotonic()
            print("well", flush=True)  # from here on it may be stopped at any instruction
            while now - before < 2.0:
                before = now
                trial.follow(0.05)
                now = time.monotonic()
            trial.must(
                trial.follow(10.0, lambda: trial.was_reported("suspended", "runtime")), "suspended was not reported"
            )
            trial.recover("suspended", "runtime")
            print("well", flush=True)
        answer = ""
    except Failure as failure:
        answer = str(failure)
    print(json.dumps({"failure": answer}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
