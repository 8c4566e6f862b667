"""The page of an inspection: its figures, what it does with texts of any kind, and where it can be written."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import BertTokenizer

from tests.inspection.pages import TEXT, lively_pair, tiny_tokenizer
from transformers_mcl import MclForPreTraining, UserError
from transformers_mcl.inspection import (
    CourseInspection,
    Inspection,
    check_page,
    inspect_text,
    page_frame,
    read_frames,
    render_page,
    write_page,
)

# Markup, an end of the script, terminal codes, signs that turn text around, NUL, emoji of several parts.
HOSTILE = "chef </script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> & \x1b[2J \u202e\u2066 \0 \u2028 "
JOINT = {"mlm": 1.0, "slm": 1.0, "rtd": 50.0, "std": 50.0, "itd": 50.0}
HOSTILE += "👩\u200d🔬 {{ data }}"


@pytest.fixture(scope="module")
def pair() -> MclForPreTraining:
    return lively_pair()


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def inspection(pair: MclForPreTraining, tokenizer: BertTokenizer) -> Inspection:
    return inspect_text(pair, tokenizer, TEXT, thresholds=True)


def data_of(page: str) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return dict(json.loads(data))


@pytest.mark.parametrize("course", ["rtd", "std"])
def test_second_answers_of_every_threshold_are_those_of_an_inspection_at_it(
    pair: MclForPreTraining, tokenizer: BertTokenizer, inspection: Inspection, course: str
) -> None:
    shown = inspection.courses[course]
    assert shown.probability and shown.replaced
    caught = sorted(p for p, r in zip(shown.probability, shown.replaced, strict=True) if r)
    assert [c.caught for c in shown.corrections] == list(range(len(caught) + 1)) and len(caught) > 2
    for threshold in (0.01, *((a + b) / 2 for a, b in zip(caught, caught[1:], strict=False)), 0.99):
        at = inspect_text(pair, tokenizer, TEXT, threshold=threshold, courses=[course]).courses[course]
        (own,) = at.corrections
        ours = next(c for c in shown.corrections if c.caught == own.caught)
        assert own.logits == pytest.approx(ours.logits, abs=1e-5)
        assert at.cells and at.judged_replaced == [p > threshold for p in shown.probability]
        assert [p and [*p.likeliest] for p in own.predictions or ()] == [
            p and [*p.likeliest] for p in ours.predictions or ()
        ]
        assert at.generator_reads_again and at.generator_reads_again == [
            shown.generator_reads[i] if cell == "pos4" else token
            for i, (cell, token) in enumerate(zip(at.cells, shown.original, strict=True))
        ]


def losses_by_cells(course: CourseInspection, names: tuple[str, str, str, str]) -> dict[str, float]:
    """What the page computes: the four losses from the tokens and their cells."""
    assert course.logits and course.replaced and course.cells
    now = next(c for c in course.corrections if c.caught == course.cells.count("pos4"))
    judged = list(zip(course.logits, course.replaced, strict=True))
    wrong = [i for i, cell in enumerate(course.cells) if cell in ("pos2", "pos3")]
    sums = (
        [p.loss for p in course.predictions if p and p.loss is not None],
        [math.log1p(math.exp(-x if r else x)) for x, r in judged],
        [p.loss for p in now.predictions or () if p and p.loss is not None],
        [
            math.log1p(math.exp(-x if r else x))
            for i in wrong
            for x, r in [((now.logits or [])[i], course.replaced[i])]
        ],
    )
    return {
        name: sum(values) / (course.losses[name].places or max(len(values), 1))
        for name, values in zip(names, sums, strict=True)
    }


@pytest.mark.parametrize("average", ["all", "own"])
def test_tokens_and_cells_make_the_losses_of_the_pair(tokenizer: BertTokenizer, average: str) -> None:
    pair = lively_pair(correction_average=average)
    courses = inspect_text(pair, tokenizer, TEXT, thresholds=True).courses
    assert courses["rtd"].cells and set(courses["rtd"].cells) == {"pos1", "pos2", "pos3", "pos4"}
    for name, names in {
        "rtd": ("mlm", "rtd", "re_mlm", "re_rtd"),
        "std": ("slm", "std", "re_slm", "re_std"),
    }.items():
        losses = {loss: found.value for loss, found in courses[name].losses.items()}
        assert losses_by_cells(courses[name], names) == pytest.approx(losses, rel=1e-4)
        assert losses[names[3]] > 0 and (losses[names[2]] > 0 or name == "std")
        assert (courses[name].losses["re_mlm" if name == "rtd" else "re_slm"].places is None) == (average == "own")
        assert [found.weight for found in courses[name].losses.values()] == [pair.loss_weights[loss] for loss in names]
    assert list(courses["itd"].losses) == ["itd"]


def test_predictions_are_what_the_samples_are_drawn_from(
    pair: MclForPreTraining, tokenizer: BertTokenizer, inspection: Inspection
) -> None:
    for course in inspection.courses.values():
        assert [p is not None for p in course.predictions] == course.operated
        for prediction, fill in zip(course.predictions, course.generator_fills, strict=True):
            if prediction is None:
                continue
            values = list(prediction.likeliest.values())
            assert values == sorted(values, reverse=True) and len(values) == 5
            assert prediction.likeliest.get(fill or "", prediction.drawn) == pytest.approx(prediction.drawn)
    pair.temperature = 0.25
    cold = inspect_text(pair, tokenizer, TEXT).courses["rtd"]
    pair.temperature = 1.0
    best = [max(p.likeliest.values()) for p in cold.predictions if p]
    assert best > [max(p.likeliest.values()) for p in inspection.courses["rtd"].predictions if p]
    assert [p and p.loss for p in cold.predictions] == [p and p.loss for p in inspection.courses["rtd"].predictions]


def test_a_page_loads_nothing_and_holds_what_was_found(inspection: Inspection, tmp_path: Path) -> None:
    frame = page_frame({"a pair": [inspection]}, step=7)
    write_page(tmp_path / "new" / "page.html", [frame], "Title")
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert data_of(page)["frames"] == [frame] == read_frames(tmp_path / "new" / "page.html", 7)
    assert read_frames(tmp_path / "new" / "page.html", 6) == []
    assert "http:" not in page and "https:" not in page and "import(" not in page
    assert [value for value in re.findall(r'(?:src|href)="(.*?)"', page) if not value.startswith(("#", "data:"))] == []
    assert "default-src 'none'" in page
    assert len(page) < 120_000


def test_texts_of_any_kind_stay_texts(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    inspection = inspect_text(pair, tokenizer, HOSTILE, thresholds=True)
    inspection.tokens = [HOSTILE]
    inspection.courses["rtd"].original[0] = HOSTILE
    page = render_page([page_frame({HOSTILE: [inspection]})], HOSTILE)
    assert page.count("</script>") == 2 and page.count("<script") == 2 and "<img" not in page
    assert not set(page) & set("\x1b\0\u202e\u2066\u2028")
    data = data_of(page)
    assert data["title"].startswith("chef </script><script>alert(1)") and "\\u202e\\u2066" in data["title"]
    assert data["frames"][0]["panels"][0]["model"] == data["title"]


def test_numbers_that_are_none_are_left_out(inspection: Inspection) -> None:
    frame = page_frame({"": [Inspection("a", [], 0, {}, threshold=float("nan"))]})
    assert frame["panels"][0]["inspections"][0]["threshold"] is None
    assert "NaN" not in render_page([frame]).partition('id="data">')[2].partition("</script>")[0]


def test_a_text_of_5000_tokens(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    inspection = inspect_text(pair, tokenizer, "chef " * 5000, thresholds=True)
    assert len(inspection.tokens) == 32 and "4970 were cut off" in inspection.notes[0]
    assert len(render_page([page_frame({"": [inspection]})])) < 400_000


def test_a_pair_without_corrections_and_a_generator_alone(tokenizer: BertTokenizer) -> None:
    for config in (
        {"objective": "electra"},
        {"loss_weights": {"mlm": 1.0}},
        {"course_schedule": "joint", "loss_weights": JOINT},
    ):
        found = inspect_text(lively_pair(**config), tokenizer, TEXT, thresholds=True)
        assert render_page([page_frame({"": [found]})])
        assert {loss for course in found.courses.values() for loss in course.losses} <= {
            "mlm",
            "slm",
            "rtd",
            "std",
            "itd",
        }


def test_compiled_passes_and_the_turn_are_left_as_they_were(tokenizer: BertTokenizer) -> None:
    pair = lively_pair(course_schedule="sampled")
    pair.turn = 1

    def compiled(*given: object) -> None:
        raise AssertionError("a pass was compiled anew")

    own: dict[str, Any] = vars(pair)
    own |= {"_encode": compiled, "_predict_at": compiled}
    inspect_text(pair, tokenizer, TEXT, thresholds=True)
    assert own["_encode"] is compiled and own["_predict_at"] is compiled and pair.turn == 1


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_thresholds_that_no_verdict_has(pair: MclForPreTraining, tokenizer: BertTokenizer, threshold: float) -> None:
    with pytest.raises(UserError, match=f"threshold={threshold} must lie between 0 and 1"):
        inspect_text(pair, tokenizer, TEXT, threshold=threshold)


def test_where_no_page_can_be_written(tmp_path: Path, inspection: Inspection) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "page.html", "Not a directory"),
        ("", "is a folder"),
        ("nul\0", "null byte"),
        ("/proc/page.html", "cannot be written"),
        (str(tmp_path / ("n" * 300)), "too long"),
    ):
        with pytest.raises(UserError, match=said):
            write_page(check_page(str(path)), [page_frame({"": [inspection]})])
    assert check_page(str(tmp_path / "new" / "page.html")) == tmp_path / "new" / "page.html"
    assert not (tmp_path / "new").exists()
