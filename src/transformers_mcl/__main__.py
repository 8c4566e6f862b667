"""`python -m transformers_mcl SCRIPT ...`: runs a script as `python SCRIPT ...` does, but imports this package before.

So transformers' `run_glue.py` and the like open our checkpoints as they are, without a line changed. A launcher starts
it as any module: `torchrun -m transformers_mcl run_glue.py ...`. Our commands are `python -m transformers_mcl.cli`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    del sys.argv[0]
    if not (sys.argv and Path(sys.argv[0]).is_file()):
        given = f"there is no script {sys.argv[0]!r}" if sys.argv else "no script is given"
        sys.stderr.write(f"error: {given}: python -m transformers_mcl SCRIPT.py ARGUMENTS\n")
        raise SystemExit(2)
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)  # where a script finds the modules beside it
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
