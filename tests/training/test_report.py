from __future__ import annotations

from transformers_mcl.training.report import results_table


def test_table_has_a_row_a_figure_and_a_column_a_course() -> None:
    evaluation = {"rtd_disc_auc": 0.61, "rtd_masked_lm_loss": 4.5, "itd_disc_auc": 0.72, "mlm_loss": 4.5}
    table = results_table(evaluation, {"most_frequent_token": 0.04, "unigram_entropy": 5.9})
    assert table.splitlines() == [
        "held-out text                     rtd      itd   against",
        "--------------------------------------------------------",
        "masked_lm_loss                  4.500            5.900 (no context)",
        "disc_auc                        0.610    0.720   0.500 (chance)",
    ]
