"""A Space of the Hub that shows what pairs do to a sentence: those named in the variable `PAIRS`, by default the one
inside the package."""

from __future__ import annotations

import os

from transformers_mcl.data.shipped import SHIPPED_PAIR
from transformers_mcl.inspection.app import serve

if __name__ == "__main__":
    pairs = os.environ.get("PAIRS", "").split() or [SHIPPED_PAIR]
    serve(pairs, "The chef cooked the meal.", server_name="0.0.0.0")
