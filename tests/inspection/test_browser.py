"""The page in a real browser: what its slider, its keys and its sizes do. Skipped where there is no browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inspection.pages import TEXT, browser_page, lively_pair, tiny_tokenizer
from tests.inspection.test_page import HOSTILE
from transformers_mcl.inspection import Inspection, inspect_text, page_frame, write_page

CELLS = ("pos1", "pos2", "pos3", "pos4")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with browser_page(viewport={"width": 1280, "height": 900}) as page:
        yield page


def inspected(text: str = TEXT, **given: Any) -> Inspection:
    config = given.pop("config", {})
    return inspect_text(lively_pair(**config), tiny_tokenizer(), text, thresholds=True, **given)


def opened(page: Any, folder: Path, *frames: dict[str, Any], title: str = "The method, seen") -> Any:
    write_page(folder / "page.html", frames, title)
    page.goto((folder / "page.html").as_uri())
    return page.locator("#course-rtd")


def counts(course: Any) -> list[int]:
    return [int(course.locator(f"[data-count={cell}]").inner_text()) for cell in CELLS]


def cells_of(course: Any) -> list[str]:
    """The row of cells in the table of steps, without their shapes."""
    row = course.locator("tr", has=course.page.get_by_role("rowheader", name="cell", exact=True))
    return [text.split()[-1] for text in row.locator("td").all_inner_texts()]


def test_the_slider_moves_tokens_between_the_cells(page: Any, tmp_path: Path) -> None:
    inspection = inspected()
    course, slider = opened(page, tmp_path, page_frame({"a": [inspection]})), page.locator("#threshold")
    for threshold in (0.5, 0.05, 0.31, 0.95):
        slider.fill(str(threshold))
        at = inspected(threshold=threshold).courses["rtd"]
        assert at.cells and cells_of(course) == at.cells
        assert counts(course) == [at.cells.count(cell) for cell in CELLS]
        for cell in CELLS:
            tokens = course.locator(f"[data-cell={cell}] .tokens .chip").all_inner_texts()
            assert tokens == [t for t, c in zip(at.discriminator_reads or (), at.cells, strict=True) if c == cell]
        said = course.locator("tr", has_text="D says again").locator("td").all_inner_texts()
        assert said == ["·" if p is None else f"{p:.2f}" for p in at.probability_again or ()]
        again = course.locator("tr", has_text="G says again").locator("td").all()
        assert [cell.locator("bdi").inner_text() if cell.locator("bdi").count() else None for cell in again] == (
            at.generator_says_again
        )
    page.get_by_role("button", name="Reset").click()
    shown = inspection.courses["rtd"]
    assert cells_of(course) == shown.cells
    for name, loss in shown.losses.items():
        value = course.locator(f"[data-loss={name}] td").nth(1).inner_text()
        assert float(value) == pytest.approx(loss.value, abs=2e-3)
    assert page.wrong == []


def test_keys_are_enough(page: Any, tmp_path: Path) -> None:
    course = opened(page, tmp_path, page_frame({"a": [inspected()]}))
    before = counts(course)
    page.locator("#threshold").focus()
    page.keyboard.press("Home")
    assert page.locator("#threshold-value").inner_text() == "0.01"
    assert counts(course) != before and counts(course)[:2] == [0, 0]
    assert "pos1 0, pos2 0" in page.locator("[role=status]").inner_text()
    tip = page.get_by_role("tooltip")
    assert not tip.is_visible()
    for _ in range(9):  # the button that resets, the table, the generator's first token
        page.keyboard.press("Tab")
        if tip.is_visible():
            break
    prediction = next(p for p in inspected().courses["rtd"].predictions if p)
    assert tip.locator("th").first.inner_text().split()[0] == next(iter(prediction.likeliest))
    assert "drawn" in tip.inner_text() and "original" in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_every_cell_has_a_shape_and_a_colour_of_its_own(page: Any, tmp_path: Path) -> None:
    course = opened(page, tmp_path, page_frame({"a": [inspected()]}))
    boxes = [course.locator(f"[data-cell={cell}]") for cell in CELLS]
    assert len({box.evaluate("box => getComputedStyle(box).borderColor") for box in boxes}) == 4
    assert len({box.locator("h4").inner_text()[0] for box in boxes}) == 4
    assert [box.get_attribute("aria-label")[:4] for box in boxes] == list(CELLS)
    unnamed = "e => !(e.getAttribute('aria-label') || e.labels?.length || e.innerText.trim())"
    controls = page.locator("input:visible, button:visible, select:visible, [role=region]")
    assert [element for element in controls.all() if element.evaluate(unnamed)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(page: Any, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, tmp_path, page_frame({"a": [inspected()], "b": [inspected(config={"mask_ratio": 0.3})]}))
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) == (scheme == "dark")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    lefts = {box.bounding_box()["x"] for box in page.locator("#course-rtd .panel").all()}
    assert len(lefts) == 2, "two models side by side"


def test_steps_and_sentences(page: Any, tmp_path: Path) -> None:
    texts = (TEXT, "the meal served the chef")
    frames = [page_frame({"": [inspected(text, seed=n) for text in texts]}, step=100 * n) for n in range(3)]
    course = opened(page, tmp_path, *frames, title="How the pair learns")
    assert page.locator("#frame-value").inner_text() == "200"
    assert cells_of(course) == inspected(seed=2).courses["rtd"].cells
    page.locator("#frame").fill("1")
    assert page.locator("#frame-value").inner_text() == "100"
    assert cells_of(course) == inspected(seed=1).courses["rtd"].cells
    page.locator("#sentence").select_option("1")
    assert cells_of(course) == inspected(texts[1], seed=1).courses["rtd"].cells
    assert page.locator("h1").inner_text() == "How the pair learns"


def test_hostile_texts_are_shown_and_do_nothing(page: Any, tmp_path: Path) -> None:
    inspection = inspected(HOSTILE)
    course = inspection.courses["rtd"]
    course.original[1] = course.generator_reads[1] = HOSTILE
    assert course.discriminator_reads
    course.discriminator_reads[1] = HOSTILE
    opened(page, tmp_path, page_frame({HOSTILE: [inspection], "b": [inspection]}), title=HOSTILE)
    assert page.locator("img").count() == 0 and page.locator("script").count() == 2
    assert "<img src=x onerror=alert(2)>" in page.locator("#text").inner_text()
    assert r"\x1b[2J \u202e\u2066 \x00" in page.locator("#text").inner_text()
    page.locator("#threshold").fill("0.2")
    assert page.wrong == []


def test_a_pair_that_takes_one_course_or_judges_nothing(page: Any, tmp_path: Path) -> None:
    electra, generator = ({"objective": "electra"}, {"loss_weights": {"mlm": 1.0}})
    frame = page_frame({"a": [inspected(config=electra)], "b": [inspected(config=generator)], "c": [inspected()]})
    opened(page, tmp_path, frame)
    page.locator("#threshold").fill("0.2")
    assert page.locator("#course-std").get_by_text("does not take the course").count() == 2
    assert page.wrong == []
