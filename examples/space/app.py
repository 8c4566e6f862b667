"""A Space of the Hub that shows what pairs do to a sentence: those named in the variable `PAIRS`."""

from __future__ import annotations

import os

from transformers_mcl.inspection.app import serve

if __name__ == "__main__":
    pairs = os.environ.get("PAIRS", "").split()
    if not pairs:
        raise SystemExit("Set the variable PAIRS to the name of a pair on the Hub, or to several, with spaces between")
    serve(pairs, "The chef cooked the meal.", server_name="0.0.0.0")
