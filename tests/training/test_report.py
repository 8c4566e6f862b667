from __future__ import annotations

from transformers_mcl.method.courses import COURSES
from transformers_mcl.method.metrics import COURSE_FIGURES
from transformers_mcl.training.report import comparison_table, results_table

BASELINES = {"most_frequent_token": 0.04, "unigram_entropy": 5.9}


def test_table_has_a_row_a_figure_and_a_column_a_course() -> None:
    evaluation = {"rtd_disc_auc": 0.61, "rtd_masked_lm_loss": 4.5, "itd_disc_auc": 0.72, "mlm_loss": 4.5}
    assert results_table(evaluation, BASELINES).splitlines() == [
        "held-out text                   rtd     itd  against",
        "----------------------------------------------------",
        "masked_lm_loss                4.500          5.900 (no context)",
        "disc_auc                      0.610   0.720  0.500 (chance)",
    ]


def test_an_encoder_without_a_discriminator_has_its_generators_figures() -> None:
    assert results_table({"rtd_masked_lm_loss": 4.5, "mlm_loss": 4.5}, BASELINES).splitlines()[2:] == [
        "masked_lm_loss                4.500  5.900 (no context)"
    ]


def test_pairs_stand_side_by_side_without_what_depends_on_their_tokens() -> None:
    small = {"rtd_disc_auc": 0.61, "rtd_masked_lm_loss": 4.5}
    large = {"rtd_disc_auc": 0.75, "itd_disc_auc": 0.8, "rtd_notebook_pos4": 0.02}
    assert comparison_table({"this run": small, "the other": large}).splitlines() == [
        "                             this run       the other",
        "held-out text                   rtd     rtd     itd",
        "---------------------------------------------------",
        "disc_auc                      0.610   0.750   0.800",
        "notebook_pos4                         0.020",
    ]


def test_tables_fit_a_terminal_of_80_columns() -> None:
    whole = {f"{course}_{figure}": 0.5 for course in COURSES for figure in COURSE_FIGURES} | {"mlm_loss": 10.0}
    whole |= {f"{course}_masked_lm_loss": 10.123 for course in COURSES}
    for table in (results_table(whole, BASELINES), comparison_table({"this run": whole, "a" * 22: whole})):
        assert max(map(len, table.splitlines())) <= 80
