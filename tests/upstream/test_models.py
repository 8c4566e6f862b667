"""transformers' own common tests of models and configurations, run against ours (`docs/upstream_tests.md`)."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar
from unittest import mock

import pytest
import torch
from transformers.models.auto import modeling_auto

from transformers_mcl import (
    MclConfig,
    MclDiscriminator,
    MclForMaskedLM,
    MclForMultipleChoice,
    MclForPreTraining,
    MclForQuestionAnswering,
    MclForSequenceClassification,
    MclForTokenClassification,
    MclModel,
)

pytest.importorskip("parameterized", reason="transformers' tests need it: pip install parameterized")
_ABSENT = "transformers' tests are not in the cache and could not be downloaded: see the warnings"
configuration: Any = pytest.importorskip("transformers_tests.test_configuration_common", reason=_ABSENT)
modeling: Any = pytest.importorskip("transformers_tests.test_modeling_common", reason=_ABSENT)

pytestmark = pytest.mark.upstream

# By these, transformers' tests know what each class returns and which labels it takes; without, many pass over it.
MAPPINGS = {
    "MODEL_MAPPING_NAMES": "MclModel",
    "MODEL_FOR_PRETRAINING_MAPPING_NAMES": "MclForPreTraining",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": "MclForMaskedLM",
    "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES": "MclForMultipleChoice",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES": "MclForQuestionAnswering",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES": "MclForSequenceClassification",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES": "MclForTokenClassification",
}


class MclModelTester:
    """A small pair's configuration and a batch, under the names that transformers' tests ask for."""

    batch_size = 13
    seq_length = 12
    vocab_size = 99
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4
    num_choices = 4
    is_training = True

    def __init__(self, **overrides: Any):
        self.overrides = overrides

    def get_config(self) -> MclConfig:
        values = {
            "vocab_size": self.vocab_size,
            "embedding_size": 24,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": 37,
            # The discriminator's shape: MclForMaskedLM, which is the generator, is held to the numbers above as well.
            "generator_hidden_size": self.hidden_size,
            "generator_num_attention_heads": self.num_attention_heads,
            "max_position_embeddings": 32,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "mask_token_id": 3,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 8,
        }
        return MclConfig(**{**values, **self.overrides})

    def prepare_config_and_inputs_for_common(self) -> tuple[MclConfig, dict[str, Any]]:
        shape = (self.batch_size, self.seq_length)
        inputs = {
            "input_ids": modeling.ids_tensor(shape, self.vocab_size),
            "token_type_ids": modeling.ids_tensor(shape, 2),
            "attention_mask": modeling.random_attention_mask(shape),
        }
        return self.get_config(), inputs


UNTIED = "tie_word_embeddings=False is refused: generator_shares says what is shared"


class CommonTests(modeling.ModelTesterMixin):
    """transformers' tests, with what they need to know of our classes."""

    # Asked of transformers' newer models only; ours initialise every weight as well.
    test_can_init_all_missing_weights_before_2023 = True
    overrides: ClassVar[dict[str, Any]] = {}
    # Tests that do not apply, by the beginning of their names, and why.
    not_applicable: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        for test, reason in self.not_applicable.items():
            if self._testMethodName.startswith(test):
                self.skipTest(reason)
        self.model_tester = MclModelTester(**self.overrides)
        for mapping, name in MAPPINGS.items():
            patch = mock.patch.dict(getattr(modeling_auto, mapping), {"mcl": name})
            patch.start()
            self.addCleanup(patch.stop)

    def _prepare_for_class(self, inputs_dict: Any, model_class: type, return_labels: bool = False) -> dict[str, Any]:
        inputs: dict[str, Any] = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        # The one class in no mapping: its place, the pre-training model's, is the pair's.
        if return_labels and model_class is MclDiscriminator:
            inputs["labels"] = torch.zeros_like(inputs["input_ids"])
        # The pair draws at random: it needs the same draws each time to be compared with itself.
        if model_class is MclForPreTraining:
            inputs["generator"] = torch.Generator(inputs["input_ids"].device).manual_seed(0)
        return inputs


class MclModelTest(CommonTests, unittest.TestCase):
    """Every class but the pair, with the relative position bias."""

    all_model_classes = (
        MclModel,
        MclDiscriminator,
        MclForMaskedLM,
        MclForMultipleChoice,
        MclForQuestionAnswering,
        MclForSequenceClassification,
        MclForTokenClassification,
    )
    not_applicable: ClassVar[dict[str, str]] = {
        "test_load_save_without_tied_weights": UNTIED,
        "test_gradient_checkpointing_backward_compatibility": "a switch of configurations older than ours",
    }

    def test_config(self) -> None:
        configuration.ConfigTester(self, config_class=MclConfig, hidden_size=36).run_common_tests()


class MclModelWithoutBiasTest(MclModelTest):
    """The same without the bias: ELECTRA's own attention."""

    overrides: ClassVar[dict[str, Any]] = {"relative_attention_num_buckets": 0}


class MclForPreTrainingTest(CommonTests, unittest.TestCase):
    """The pair, with a generator narrower than the discriminator that shares its token embeddings."""

    all_model_classes = (MclForPreTraining,)
    overrides: ClassVar[dict[str, Any]] = {"generator_hidden_size": 16, "generator_num_attention_heads": 2}
    not_applicable: ClassVar[dict[str, str]] = {
        "test_load_save_without_tied_weights": UNTIED,
        # Two rows draw together: one of them by itself is corrupted at other places.
        "test_batching_equivalence": "the draws are the batch's, not the row's",
        # A step of the pair is five passes of each network: it returns the hidden states and attentions of none.
        "test_attention_outputs": "no attentions",
        "test_can_capture_specific_layers_hidden_states": "no hidden states",
        "test_capture_outputs_decorator": "no hidden states",
        "test_eager_matches_sdpa_inference": "no hidden states",  # the encoder's are compared above
        "test_hidden_states_output": "no hidden states",
        "test_model_outputs_equivalence": "no hidden states",
        "test_retain_grad_hidden_states_attentions": "no hidden states",
    }


class MclForPreTrainingSharedTest(MclForPreTrainingTest):
    """The pair that shares all it can: the whole embedding layer, and one detection head."""

    overrides: ClassVar[dict[str, Any]] = {
        **MclForPreTrainingTest.overrides,
        "generator_shares": "all",
        "detection_heads": "shared",
    }
