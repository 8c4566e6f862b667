from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel as ByteLevelPieces
from tokenizers.trainers import BpeTrainer
from transformers import BertTokenizer, PreTrainedTokenizerFast

from tests.families import ADAPTED, demo_tokenizer, each, tiny_pair
from transformers_mcl import MclConfig, MclForPreTraining, UserError
from transformers_mcl.inspection import Inspection, describe_course, inspect_text, render
from transformers_mcl.method import corruptions as c
from transformers_mcl.method.notebook import correction_notebook, rediscrimination_input, regeneration_input
from transformers_mcl.models.pretraining import CourseRecord

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a the chef cooked thanked meal table served ##s [ ] mask 厨师 é .".split()
TEXT = "The chef cooked the meal, the chefs served a meal."

# The paper's figure: what `method.md` prints, with the signs of our picture.
WORKED_EXAMPLE = """\
Replaced token detection (RTD)
  Some tokens are masked, G fills them in, D says which tokens are not the
  original ones.

  x               the      chef    cooked   the     meal
  G reads x_mask  *[MASK]  chef    *[MASK]  the     *[MASK]
  G fills in      a        ·       thanked  ·       meal
  D reads x_rtd   a        chef    thanked  the     meal
  truth           R        ·       R        ·       ·
  D says          0.12 ·   0.08 ·  0.92 R   0.05 ·  0.77 R
  cell            pos2     pos1    pos4     pos1    pos3
  G reads again   the      chef    *[MASK]  the     meal
  G says again    ·        ·       served   ·       ·
  D reads again   a        chef    cooked   the     meal
  D says again    0.73 R   ·       ·        ·       0.27 ·

  G's samples are the original in 1 of 3 places. D found 1 of 2 replaced tokens,
  and called 1 of 3 original ones replaced.

Signs
  G, D  generator, discriminator; 0.87 is D's probability of replaced or inserted
  *     operated on: masked, swapped or inserted
  R     replaced
  ·     original; or nothing here
  pos1  original, and D says so: nothing to do
  pos2  replaced, and D was fooled: D judges it again
  pos3  original, but D cried wolf: D judges it again
  pos4  replaced, and D caught it: G fills it in again"""


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})


@pytest.fixture(scope="module")
def make_pair() -> Callable[..., MclForPreTraining]:
    def make(**config: object) -> MclForPreTraining:
        torch.manual_seed(0)
        ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
        # Dropout, so that a pass in training mode would show.
        return MclForPreTraining(
            MclConfig.tiny(
                **{
                    "vocab_size": len(WORDS),
                    "num_hidden_layers": 1,
                    "generator_num_hidden_layers": 1,
                    "hidden_dropout_prob": 0.5,
                    "max_position_embeddings": 32,
                    "mask_ratio": 0.5,
                    **ids,
                    **config,
                }
            )
        )

    return make


@pytest.fixture(scope="module")
def pair(make_pair: Callable[..., MclForPreTraining]) -> MclForPreTraining:
    return make_pair()


@pytest.fixture(scope="module")
def inspection(pair: MclForPreTraining, tokenizer: BertTokenizer) -> Inspection:
    return inspect_text(pair, tokenizer, TEXT)


@pytest.fixture
def worked_example(tokenizer: BertTokenizer) -> Inspection:
    def ids(tokens: str) -> torch.Tensor:
        return torch.tensor([tokenizer.convert_tokens_to_ids(tokens.split())])

    clean = ids("the chef cooked the meal")
    positions, valid = torch.tensor([[2, 0, 4, 1]]), torch.tensor([[True, True, True, False]])
    masked = c.substitute(clean, positions, torch.full_like(positions, 4), valid)
    corruption = c.Corruption(masked, positions, valid, clean.gather(1, positions).masked_fill(~valid, -100))
    samples = ids("thanked a meal .")
    judged = c.substitute(masked, positions, samples, valid)
    logits = torch.tensor([[0.12, 0.08, 0.92, 0.05, 0.77]]).logit()
    notebook = correction_notebook(judged != clean, logits)
    record = CourseRecord(
        corruption,
        clean,
        samples,
        judged,
        judged != clean,
        logits,
        notebook,
        regeneration_input(clean, masked, notebook),
        rediscrimination_input(clean, judged, notebook),
    )
    course = describe_course("rtd", clean, record, tokenizer)
    course.generator_says_again = [None, None, "served", None, None]
    course.probability_again = [0.73, None, None, None, 0.27]
    return Inspection("", [], 0, {"rtd": course})


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def test_worked_example(worked_example: Inspection) -> None:
    assert render(worked_example, color=False, width=80) == WORKED_EXAMPLE


def test_colours_add_nothing_but_colours(worked_example: Inspection) -> None:
    colored = render(worked_example, color=True, width=80)
    assert colored != WORKED_EXAMPLE
    assert plain(colored) == WORKED_EXAMPLE


def test_four_cells_have_four_colours_those_of_the_legend(worked_example: Inspection) -> None:
    colored = render(worked_example, color=True, width=80)
    row = next(line for line in colored.splitlines() if plain(line).startswith("  cell"))
    in_row = dict(re.findall(r"\x1b\[(\d+)m(pos\d)", row))
    in_legend = dict(re.findall(r"\x1b\[(\d+)m(pos\d)", colored[colored.index("Signs") :]))
    assert in_row == in_legend
    assert sorted(in_row.values()) == ["pos1", "pos2", "pos3", "pos4"]
    by_cell = {cell: code for code, cell in in_row.items()}
    assert f"\x1b[{by_cell['pos4']}mthanked\x1b[0m" in colored
    assert f"\x1b[{by_cell['pos2']}m0.12 ·\x1b[0m" in colored


@pytest.mark.parametrize("width", [30, 50, 100])
def test_rows_wrap_into_blocks_that_fit(inspection: Inspection, width: int) -> None:
    drawing = render(inspection, color=False, width=width)
    lines = drawing[: drawing.index("Signs")].splitlines()
    assert max(map(len, lines)) <= width
    for label, course in (("x_rtd", "rtd"), ("x_std", "std"), ("x_itd", "itd")):
        rows = [line.split()[3:] for line in lines if line.startswith(f"  D reads {label}")]
        assert sum(rows, []) == inspection.courses[course].discriminator_reads
        assert len(rows) > 1 or width == 100


def test_a_terminal_narrower_than_a_token_gets_a_token_a_block(inspection: Inspection) -> None:
    drawing = render(inspection, color=False, width=1)
    assert drawing.count("  G reads x_mask") == len(inspection.tokens)


def test_columns_are_aligned_for_wide_and_combining_characters(worked_example: Inspection) -> None:
    course = worked_example.courses["rtd"]
    course.original[0], course.original[1] = "厨师厨师厨师", "e\u0301"
    lines = render(worked_example, color=False, width=80).splitlines()
    shown = [line for line in lines if line.startswith(("  x ", "  cell"))]

    def columns(text: str) -> int:
        return sum({"Mn": 0, "Lo": 2}.get(unicodedata.category(character), 1) for character in text)

    assert [columns(line[: line.index(word)]) for line, word in zip(shown, ("e\u0301", "pos1"), strict=True)] == [
        32,
        32,
    ]
    assert [columns(line[: line.index(word)]) for line, word in zip(shown, ("cooked", "pos4"), strict=True)] == [
        40,
        40,
    ]


def test_characters_that_the_terminal_lacks_or_obeys_are_escaped(worked_example: Inspection) -> None:
    course = worked_example.courses["rtd"]
    course.original[:2] = ["é", "\x1b[2J\n"]
    drawing = render(worked_example, color=False, width=80, encoding="ascii")
    assert drawing.isascii()
    rows = {line.split()[0]: line.split()[1:] for line in drawing.splitlines() if line.strip()}
    assert rows["x"] == [r"\xe9", r"\x1b[2J\n", "cooked", "the", "meal"]
    assert rows["truth"] == ["R", ".", "R", ".", "."]
    assert "\n  .     original; or nothing here\n" in drawing


def test_what_is_shown_is_what_the_model_did(
    inspection: Inspection, pair: MclForPreTraining, tokenizer: BertTokenizer
) -> None:
    pair.eval()
    ids = torch.tensor([tokenizer(TEXT).input_ids])
    records = pair(ids, generator=torch.Generator().manual_seed(42), output_records=True).records
    assert inspection.tokens == tokenizer.convert_ids_to_tokens(ids[0].tolist())
    assert list(inspection.courses) == ["rtd", "std", "itd"]
    for name, shown in inspection.courses.items():
        record, length = records[name], len(shown.operated)
        assert (
            tokenizer.convert_tokens_to_ids(shown.generator_reads) == record.corruption.input_ids[0, :length].tolist()
        )
        assert tokenizer.convert_tokens_to_ids(shown.discriminator_reads or []) == (
            record.discriminator_input[0, :length].tolist()
        )
        assert shown.replaced == record.labels[0, :length].tolist()
        assert shown.probability == pytest.approx(record.logits[0, :length].sigmoid().tolist())
        assert shown.judged_replaced == (record.logits[0, :length] > 0).tolist()
        filled = [shown.generator_fills[i] or token for i, token in enumerate(shown.generator_reads)]
        assert filled == shown.discriminator_reads
        assert [fill is not None for fill in shown.generator_fills] == shown.operated
        assert sum(shown.operated) == int(record.corruption.valid.sum()) > 0
        lengths = {len(v) for name, v in vars(shown).items() if isinstance(v, list) and name != "corrections"}
        assert lengths == {length}
    assert inspection.courses["itd"].cells is None


def test_cells_and_second_answers(make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer) -> None:
    # With many ids to choose from, the generator's answer depends on what it reads.
    pair = make_pair(vocab_size=4096).eval()
    inspection = inspect_text(pair, tokenizer, TEXT, seed=44)
    ids = torch.tensor([tokenizer(TEXT).input_ids])
    records = pair(ids, generator=torch.Generator().manual_seed(44), output_records=True).records
    verdicts = {(False, False): "pos1", (True, False): "pos2", (False, True): "pos3", (True, True): "pos4"}
    seen = set()
    for name in ("rtd", "std"):
        shown, record = inspection.courses[name], records[name]
        assert shown.cells and shown.replaced and shown.judged_replaced
        assert shown.generator_says_again and shown.probability_again
        seen.update(shown.cells)
        assert shown.cells == [verdicts[said] for said in zip(shown.replaced, shown.judged_replaced, strict=True)]
        head = pair.course_predictions["std"] if name == "std" else pair.discriminator_predictions
        with torch.no_grad():
            tokens = pair.generator(record.regeneration_input).logits[0].argmax(-1).tolist()
            probabilities = head(pair.electra(record.rediscrimination_input).last_hidden_state)[0].sigmoid().tolist()
        assert shown.generator_says_again == [
            (tokenizer.convert_ids_to_tokens(token) if token < len(tokenizer) else f"[{token}]")
            if cell == "pos4"
            else None
            for token, cell in zip(tokens, shown.cells, strict=True)
        ]
        for cell, probability, said in zip(shown.cells, probabilities, shown.probability_again, strict=True):
            assert said == (pytest.approx(probability, abs=1e-6) if cell in ("pos2", "pos3") else None)
    assert seen == {"pos1", "pos2", "pos3", "pos4"}, "without them all, the second inputs are like the first"


def test_insertion_keeps_the_sentence_and_counts_what_made_room(
    inspection: Inspection, make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer
) -> None:
    shown = inspection.courses["itd"]
    assert [token for token in shown.original if token is not None] == inspection.tokens
    assert [token is None for token in shown.original] == shown.operated == shown.replaced
    assert shown.dropped == 0
    full = inspect_text(make_pair(max_position_embeddings=15), tokenizer, TEXT)
    shown = full.courses["itd"]
    assert len(full.tokens) == len(shown.original) == 15
    assert shown.dropped == sum(shown.operated) == 2
    assert "Dropped at the end, for want of positions: 2." in render(full, color=False, width=80)


def test_insertion_shows_no_padding(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    # 15 % of ten tokens are two slots in the batch's shape, of the eight ordinary ones a single one in the row.
    shown = inspect_text(pair, tokenizer, "chef " * 8, courses=["itd"]).courses["itd"]
    assert len(shown.original) == 11 and shown.generator_reads[-1] == "[SEP]"


def test_same_seed_same_inspection(inspection: Inspection, pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    pair.train()
    before = torch.random.get_rng_state()
    assert inspect_text(pair, tokenizer, TEXT, seed=42) == inspection
    assert pair.training and pair.generator.training, "a model in training has to stay so"
    assert torch.equal(torch.random.get_rng_state(), before), "the draws of training have to stay as they are"
    assert inspect_text(pair, tokenizer, TEXT, seed=43).courses != inspection.courses


def test_a_course_shows_the_same_alone(
    inspection: Inspection, pair: MclForPreTraining, tokenizer: BertTokenizer
) -> None:
    alone = inspect_text(pair, tokenizer, TEXT, courses=["itd"])
    assert alone.courses == {"itd": inspection.courses["itd"]}
    assert "pos1" not in render(alone, color=False, width=80), "insertion has no notebook to explain"
    two = inspect_text(pair, tokenizer, TEXT, courses=("std", "rtd"))
    assert list(two.courses) == ["rtd", "std"]


def test_json(inspection: Inspection) -> None:
    as_dict = inspection.to_dict()
    assert json.loads(json.dumps(as_dict)) == as_dict
    assert as_dict["text"] == TEXT and as_dict["seed"] == 42
    assert as_dict["courses"]["rtd"]["cells"] == inspection.courses["rtd"].cells


def test_electra_shows_one_course_and_no_correction(
    make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer
) -> None:
    electra = make_pair(objective="electra")
    inspection = inspect_text(electra, tokenizer, TEXT)
    assert list(inspection.courses) == ["rtd"]
    drawing = render(inspection, color=False, width=80)
    assert "cell " in drawing and "again  " not in drawing
    with pytest.raises(UserError, match="does not take 'std'"):
        inspect_text(electra, tokenizer, TEXT, courses=["rtd", "std"])


def test_a_generator_alone_shows_what_it_fills_in(
    make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer
) -> None:
    inspection = inspect_text(make_pair(loss_weights={"mlm": 1.0}), tokenizer, TEXT)
    drawing = render(inspection, color=False, width=80)
    assert "  G fills in" in drawing and "  D reads" not in drawing


def test_text_longer_than_the_model_is_cut_off_with_a_note(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    inspection = inspect_text(pair, tokenizer, "chef " * 40)
    assert inspection.tokens == ["[CLS]"] + ["chef"] * 30 + ["[SEP]"]
    assert "positions for 30 beside [CLS] and [SEP]: 10 were cut off" in inspection.notes[0]
    assert render(inspection, color=False, width=200).startswith(f"Note: {inspection.notes[0]}")


def test_a_sentence_of_one_token(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    inspection = inspect_text(pair, tokenizer, "chef")
    assert inspection.courses["rtd"].generator_reads == ["[CLS]", "[MASK]", "[SEP]"]
    assert inspection.courses["std"].operated == [False] * 3, "a swap takes two"
    assert inspection.courses["std"].original == ["[CLS]", "chef", "[SEP]"]
    assert "original in 0 of 0 places" in render(inspection, color=False, width=80)


def test_a_special_token_in_the_text_is_text(pair: MclForPreTraining, tokenizer: BertTokenizer) -> None:
    assert inspect_text(pair, tokenizer, "the [MASK]").tokens == ["[CLS]", "the", "[", "mask", "]", "[SEP]"]


def test_an_id_without_a_token_is_shown_by_its_number(
    make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer
) -> None:
    padded = make_pair(vocab_size=4096)
    fills = inspect_text(padded, tokenizer, "chef " * 30).courses["rtd"].generator_fills
    assert any(re.fullmatch(r"\[\d+\]", fill or "") for fill in fills)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": " \n"}, "is empty"),
        ({"text": "chef \udce9"}, "not valid Unicode at character 5"),
        ({"text": "\u200b"}, "no token"),
        ({"seed": -1}, "seed=-1"),
        ({"courses": ["rdt"]}, "there is no 'rdt'; choose from rtd, std, itd"),
    ],
)
def test_what_cannot_be_inspected(
    pair: MclForPreTraining, tokenizer: BertTokenizer, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        inspect_text(pair, tokenizer, **{"text": TEXT, **arguments})  # type: ignore[arg-type]


def test_a_tokenizer_of_another_model(make_pair: Callable[..., MclForPreTraining], tokenizer: BertTokenizer) -> None:
    with pytest.raises(UserError, match="vocab_size is only 7"):
        inspect_text(make_pair(vocab_size=7), tokenizer, TEXT)
    with pytest.raises(UserError, match="mask_token_id is 4, the model's is 5"):
        inspect_text(make_pair(mask_token_id=5), tokenizer, TEXT)


# --- pairs of other families -----------------------------------------------------------------------------------------
@each(ADAPTED)
def test_any_family_is_inspected(family: str) -> None:
    pair, tokenizer = tiny_pair(family, mask_ratio=0.5, swap_ratio=0.5, generator_shares="gdes"), demo_tokenizer()
    shown = inspect_text(pair, tokenizer, "the chef cooked a meal, who ate it?").courses
    assert list(shown) == ["rtd", "std", "itd"]
    said = 0
    for course in ("rtd", "std"):
        again, says = shown[course].generator_reads_again, shown[course].generator_says_again
        assert again is not None and says is not None and shown[course].probability_again is not None
        with torch.no_grad():
            ids = torch.tensor([tokenizer.convert_tokens_to_ids(again)])
            best = tokenizer.convert_ids_to_tokens(pair.generator(ids).logits[0].argmax(-1).tolist())
        said += len(at := [place for place, token in enumerate(says) if token is not None])
        assert [says[place] for place in at] == [best[place] for place in at]
    assert said, "nothing was caught: another seed"


def test_pieces_of_bytes_are_shown_as_text() -> None:
    backend = Tokenizer(BPE())
    backend.pre_tokenizer, backend.decoder = ByteLevelPieces(add_prefix_space=False), ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = ByteLevelPieces.alphabet()
    trainer = BpeTrainer(vocab_size=290, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(["le chef é é é"] * 9, trainer)
    names: dict[str, str] = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{name}_token": token for name, token in names.items()}
    )
    ids = {f"{name}_token_id": special.index(token) for name, token in names.items() if name != "unk"}
    pair = tiny_pair("roberta", {"vocab_size": len(tokenizer), "pad_token_id": 1}, **ids)
    inspection = inspect_text(pair, tokenizer, "le chef é 厨")
    # A character whose bytes are pieces of their own has no text: they stay as they are.
    assert inspection.tokens == ["<s>", "le", "▁chef", "▁é", "▁", "å", "İ", "¨", "</s>"]
    assert "▁chef" in render(inspection, color=False, width=200)
