"""A Slurm job array: each job is one shard of the same command, so the cluster needs no other software."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

JOBS = 16


def sbatch_script(arguments: Sequence[str], jobs: int | None = None) -> str:
    """Returns the text of a job script for `sbatch`.

    Args:
        arguments: of the command line, as given; engine, shard and the request for this script are left out.
        jobs: of the array; None for 16.
    """
    count = jobs or JOBS
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if skip:
            skip = False
        elif name in ("--print-sbatch", "--engine", "--shard"):
            skip = "=" not in argument
        else:
            kept.append(argument)
    command = shlex.join(["edgeaff", *kept])
    return (
        "#!/bin/bash\n"
        "#SBATCH --job-name=edgeaff\n"
        f"#SBATCH --array=0-{count - 1}\n"
        "#SBATCH --cpus-per-task=1\n"
        "#SBATCH --mem=5G\n"
        "#SBATCH --requeue\n"
        f'{command} --workers 1 --shard "$SLURM_ARRAY_TASK_ID/{count}"\n'
    )
