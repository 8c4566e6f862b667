"""A pair and a browser for the tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import BertTokenizer

from transformers_mcl import MclConfig, MclForPreTraining

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the chef cooked thanked meal table served ##s , .".split()
TEXT = "The chef cooked the meal, the chefs served a meal."
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def tiny_tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})


def lively_pair(**config: Any) -> MclForPreTraining:
    """An untrained pair whose discriminator judges tokens far apart, so that all cells are reached."""
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
    shape = {"num_hidden_layers": 1, "generator_num_hidden_layers": 1, "max_position_embeddings": 32}
    ratios = {"mask_ratio": 0.5, "swap_ratio": 0.5}
    pair = MclForPreTraining(MclConfig.tiny(**{"vocab_size": len(WORDS), **shape, **ratios, **ids, **config}))
    torch.manual_seed(1)
    for head in (pair.discriminator_predictions, *pair.course_predictions.values()):
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    return pair.eval()


@contextmanager
def browser_page(**options: Any) -> Iterator[Any]:
    """A page of a browser without a screen, that takes no error of a script; skips where there is none."""
    driver = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)}")
    with driver.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(**options)
        page.set_default_timeout(60_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.wrong = wrong
        yield page
        browser.close()
