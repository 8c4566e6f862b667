"""The app: what it says to any input, and the whole of it in a browser. Skipped where there is no Gradio."""

from __future__ import annotations

import html
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.inspection.pages import TEXT, browser_page, lively_pair, tiny_tokenizer
from tests.inspection.test_browser import CELLS, cells_of, counts
from tests.inspection.test_page import HOSTILE, data_of
from transformers_mcl import UserError
from transformers_mcl.cli.main import main
from transformers_mcl.inspection import app, inspect_text
from transformers_mcl.inspection.app import build_app, look

ROOT = Path(__file__).parents[2]
RATIOS = {"mask_ratio": 0.3, "swap_ratio": 0.3, "insert_ratio": 0.3}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pairs")
    for name, config in {"mcl": {}, "electra": {"objective": "electra"}}.items():
        lively_pair(**config).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    return [str(folder / "mcl"), str(folder / "electra")]


def shown(said: str) -> dict[str, Any]:
    (page,) = re.findall(r'srcdoc="(.*?)"></iframe>$', said, re.DOTALL)
    return data_of(html.unescape(page))


def test_a_look_is_the_page_of_the_inspection_in_a_box_of_its_own(pairs: list[str]) -> None:
    said = look(pairs, pairs, TEXT, 7, RATIOS)
    assert said.startswith("<iframe ") and 'sandbox="allow-scripts"' in said
    panels = shown(said)["frames"][0]["panels"]
    assert [panel["model"] for panel in panels] == pairs
    expected = inspect_text(lively_pair(**RATIOS), tiny_tokenizer(), TEXT, seed=7, thresholds=True)
    assert panels[0]["inspections"][0]["courses"]["std"]["cells"] == expected.courses["std"].cells
    other = shown(look(pairs, pairs[:1], TEXT, 7, {**RATIOS, "mask_ratio": 0.9}))
    assert sum(other["frames"][0]["panels"][0]["inspections"][0]["courses"]["rtd"]["operated"]) == 12
    again = shown(look(pairs, pairs[:1], TEXT, 7, RATIOS))
    assert again["frames"][0]["panels"][0] == panels[0], "one caller's ratios are not the next one's"


def test_what_cannot_be_looked_at_is_one_line(pairs: list[str], tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    for given, words in (
        ({"text": "  "}, "is empty"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"seed": None}, "seed=None"),
        ({"chosen": [str(tmp_path / "secret")]}, "no name on the Hub"),
        ({"chosen": ["/etc/passwd"]}, "no name on the Hub"),
        ({"chosen": ["<script>alert(1)</script>"]}, "no name on the Hub"),
        ({"chosen": ["no-such/pair"]}, "no-such/pair"),
        ({"ratios": {"mask_ratio": 1.5}}, "mask_ratio=1.5"),
    ):
        values: dict[str, Any] = {"chosen": pairs[:1], "text": TEXT, "seed": 0, "ratios": RATIOS, **given}
        said = look(pairs, values["chosen"], values["text"], values["seed"], values["ratios"])
        assert said.startswith('<p role="alert">') and words in html.unescape(said) and said.count("<") == 2
    assert shown(look(pairs, pairs[:1], HOSTILE, 0, RATIOS))


def test_the_command_refuses_in_one_line(pairs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio")
    for words, said in (
        (["--model_name_or_path", "no-such-pair"], "no-such-pair"),
        (["--model_name_or_path", pairs[0], "--text", " "], "is empty"),
        (["--model_name_or_path", pairs[0], "--server_port", "99999"], "server_port=99999 must be from 1 to 65535"),
    ):
        capsys.readouterr()
        assert main(["app", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("transformers-mcl app: error: ") and said in error and error.count("\n") == 1


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match="pip install 'transformers-mcl\\[app\\]'"):
        build_app(["pair"], TEXT)


def test_the_space_has_what_a_space_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "examples" / "space"
    settings = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert settings["sdk"] == "gradio" and (folder / settings["app_file"]).is_file()
    assert f"gradio=={settings['sdk_version']}\n" in (ROOT / "constraints.txt").read_text()
    assert (folder / "requirements.txt").read_text() == "transformers-mcl[app]\n"
    asked: list[Any] = []
    monkeypatch.setattr(app, "serve", lambda *given, **options: asked.append((given, options)))
    monkeypatch.delenv("PAIRS", raising=False)
    runpy.run_path(str(folder / "app.py"), run_name="__main__")
    monkeypatch.setenv("PAIRS", "a/b c/d")
    runpy.run_path(str(folder / "app.py"), run_name="__main__")
    served = [["mcl-pair"], ["a/b", "c/d"]]
    assert asked == [((pairs, "The chef cooked the meal."), {"server_name": "0.0.0.0"}) for pairs in served]


@pytest.fixture(scope="module")
def served(pairs: list[str]) -> Iterator[str]:
    pytest.importorskip("gradio")
    blocks = build_app(pairs, TEXT)
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield address
    blocks.close()


def test_a_sentence_typed_the_slider_moved_the_cells_read(served: str) -> None:
    text = "the meal served a chef, the table cooked."
    with browser_page(viewport={"width": 1280, "height": 1000}) as page:
        page.goto(served)
        frame = page.frame_locator("iframe")
        frame.locator("#course-rtd").wait_for()
        assert frame.locator("#text").inner_text() == TEXT
        page.get_by_label("Sentence").fill(text)
        page.get_by_label("Random seed").fill("3")
        page.get_by_role("button", name="Show").click()
        frame.locator("#text", has_text=text).wait_for()
        for threshold in (0.5, 0.1):
            frame.locator("#threshold").fill(str(threshold))
            pair = lively_pair(**RATIOS)
            at = inspect_text(pair, tiny_tokenizer(), text, seed=3, threshold=threshold).courses["rtd"]
            course = frame.locator("#course-rtd")
            assert at.cells and counts(course) == [at.cells.count(cell) for cell in CELLS]
            assert cells_of(course) == at.cells
        page.get_by_label("Sentence").fill("   ")
        page.get_by_role("button", name="Show").click()
        assert "is empty" in page.get_by_role("alert").inner_text()
