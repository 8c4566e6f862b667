"""The heads of other code bases: what they compute, in every model that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForPreTraining, Trainer, TrainingArguments

from transformers_mcl import (
    MclConfig,
    MclDiscriminator,
    MclForMaskedLM,
    MclForPreTraining,
    MclForQuestionAnswering,
    MclForSequenceClassification,
    MclForTokenClassification,
)
from transformers_mcl.models.heads import LayerMixture, detection_head

IDS = torch.tensor([[101, 7, 8, 9, 10, 11, 12, 13, 14, 102]])


def make(kind: Any, **fields: Any) -> Any:
    torch.manual_seed(0)
    given = {"vocab_size": 120, "generator_num_hidden_layers": 3, "initializer_range": 0.3, **fields}
    return kind(MclConfig.tiny(**given)).eval()


@pytest.mark.parametrize("kind", ["electra", "layer_norm", "linear"])
def test_detection_heads(kind: str) -> None:
    config = MclConfig.tiny(detection_head_type=kind)
    head: Any = detection_head(config)
    hidden = torch.randn(2, 3, 128)
    expected = hidden
    if kind != "linear":
        expected = torch.nn.functional.gelu(head.dense(hidden))
    if kind == "layer_norm":
        torch.nn.init.normal_(head.LayerNorm.weight)
        expected = torch.nn.functional.layer_norm(expected, (128,), head.LayerNorm.weight, eps=config.layer_norm_eps)
    weight, bias = head.dense_prediction.weight, head.dense_prediction.bias
    torch.testing.assert_close(head(hidden), expected @ weight[0] + bias)


@pytest.mark.parametrize("kind", ["layer_norm", "linear"])
def test_all_courses_have_the_head_and_it_is_saved(kind: str, tmp_path: Path) -> None:
    pair = make(MclForPreTraining, detection_head_type=kind)
    assert len({type(head) for head in (pair.discriminator_predictions, *pair.course_predictions.values())}) == 1
    pair.save_pretrained(tmp_path)
    again: Any = AutoModelForPreTraining.from_pretrained(tmp_path)
    discriminator: Any = MclDiscriminator.from_pretrained(tmp_path)
    with torch.no_grad():
        verdict = pair.detect("rtd", IDS, None)
        assert again.detect("std", IDS, None).equal(pair.detect("std", IDS, None))
        assert again.detect("rtd", IDS, None).equal(verdict)
        assert discriminator(IDS).logits.equal(verdict)


def test_a_mixture_of_features_is_amoss_mixture_of_logits() -> None:
    mixture = LayerMixture(MclConfig.tiny(hidden_size=6, num_attention_heads=2))
    mixture.weight = torch.nn.Parameter(torch.randn(1, 6))
    states, features, projection = torch.randn(3, 2, 5, 6), torch.randn(3, 2, 5, 4), torch.nn.Linear(4, 9)
    shares = (states @ mixture.weight[0]).softmax(0)
    expected = (shares[..., None] * projection(features)).sum(0)
    torch.testing.assert_close(projection(mixture(states, features)), expected)


@pytest.mark.parametrize("layers", [[1], [3], [1, 3], [2, 3, 1]], ids=str)
def test_the_generator_predicts_from_the_layers_it_is_told(layers: list[int], tmp_path: Path) -> None:
    model = make(MclForMaskedLM, generator_prediction_layers=layers)
    generator = model.generator
    with torch.no_grad():
        hidden = generator.electra(IDS, output_hidden_states=True).hidden_states
        features = [generator.generator_predictions(hidden[layer]) for layer in layers]
        scores = torch.stack([generator.layer_mixture.weight[0] @ hidden[layer][0].T for layer in layers])
        mixed = sum(share[None, :, None] * feature for share, feature in zip(scores.softmax(0), features, strict=True))
        expected = generator.generator_lm_head(mixed)
        found = model(IDS, labels=IDS)
        torch.testing.assert_close(found.logits, expected)
        loss = torch.nn.functional.cross_entropy(expected[0], IDS[0])
        torch.testing.assert_close(found.loss, loss)
        assert model(IDS, return_dict=False)[0].equal(found.logits)
        positions = torch.tensor([[4, 0]])
        torch.testing.assert_close(generator.logits_at(IDS, None, positions), expected[:, [4, 0]])
        model.save_pretrained(tmp_path)
        assert MclForMaskedLM.from_pretrained(tmp_path)(IDS).logits.equal(found.logits)


def test_a_pair_with_these_heads_is_one_graph() -> None:
    fields: dict[str, Any] = {"relative_attention_bias_type": "coco_lm", "detection_head_type": "linear"}
    pair = make(MclForPreTraining, generator_prediction_layers=[1, 3], objective="electra", **fields)
    compiled: Any = torch.compile(pair, fullgraph=True, dynamic=False, backend="eager")
    outcomes: list[Tensor] = []
    for call in (compiled, pair):
        torch.manual_seed(0)
        outcomes.append(call(IDS).loss)
    assert outcomes[0].equal(outcomes[1])


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_the_classifiers_activation(activation: str) -> None:
    model = make(MclForSequenceClassification, classifier_activation=activation, num_labels=3)
    with torch.no_grad():
        first = model.classifier.dense(model.electra(IDS).last_hidden_state[:, 0])
        first = first.tanh() if activation == "tanh" else torch.nn.functional.gelu(first)
        torch.testing.assert_close(model(IDS).logits, model.classifier.out_proj(first))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "kind",
    [MclForSequenceClassification, MclForTokenClassification, MclForQuestionAnswering, MclForMaskedLM],
)
def test_accumulated_batches_have_the_gradient_of_one(kind: Any, smoothing: float, tmp_path: Path) -> None:
    torch.manual_seed(1)
    ids = torch.randint(5, 100, (8, 10))
    labels = torch.randint(2, (8, 10))
    labels[0, 2:] = labels[5, 1:] = -100  # the batches have other numbers of labels
    columns = {"labels": labels[:, 0] if kind is MclForSequenceClassification else labels}
    if kind is MclForQuestionAnswering:
        columns = {"start_positions": labels[:, 0], "end_positions": labels[:, 0] + 1}
    rows = [{"input_ids": ids[i], **{name: of[i] for name, of in columns.items()}} for i in range(8)]
    found = []
    for size, steps in ((8, 1), (2, 4)):
        model = make(kind, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        batches: Any = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_steps": 1}
        given: Any = {"output_dir": str(tmp_path), "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
        given |= {"learning_rate": 0.1, "optim": "sgd", "label_smoothing_factor": smoothing, "max_grad_norm": 0}
        trainer = Trainer(model, TrainingArguments(**batches, **given), train_dataset=rows)
        loss = trainer.train().training_loss
        found.append((loss, torch.cat([weight.flatten() for weight in model.state_dict().values()])))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [MclForSequenceClassification, MclDiscriminator, MclForMaskedLM])
def test_outputs_as_tuples(kind: Any) -> None:
    model = make(kind)
    labels = torch.tensor([1]) if kind is MclForSequenceClassification else torch.ones_like(IDS)
    loss, logits = model(IDS, labels=labels, return_dict=False)
    whole = model(IDS, labels=labels)
    assert loss.equal(whole.loss) and logits.equal(whole.logits)
    half = model(IDS, labels=labels, num_items_in_batch=2 * labels.numel())
    torch.testing.assert_close(half.loss, loss / 2)
