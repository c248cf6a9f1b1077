"""Times the compiled ops against their peers: `python benchmarks/kernels.py [--json PATH]`. See edgeaff/bench/kernels.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeaff.bench import kernels


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it compiles for a minute)")
    parser.add_argument("--cuda-only", action="store_true", help="the CUDA rows alone")
    options = parser.parse_args()
    result = {} if options.cuda_only else kernels.run(rounds=options.rounds, compile_peer=not options.no_compile)
    if options.cuda_only or kernels.has_cuda():
        from edgeaff.bench import kernels_cuda

        result |= {"cuda": kernels_cuda.run()}
    if not options.cuda_only:
        print(kernels.as_table(result))
    if options.json:
        kernels.write(options.json, result)


if __name__ == "__main__":
    main()
