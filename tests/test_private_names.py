"""What of transformers we override or call although it is private: a new release may change it without a word."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import transformers
from transformers import AutoModel, ElectraModel, PreTrainedModel, PreTrainedTokenizerFast, Trainer
from transformers.models.auto import auto_factory
from transformers.models.electra.modeling_electra import ElectraSelfAttention
from transformers.utils import hub

from transformers_mcl import MclTrainer
from transformers_mcl.finetuning.trainer import TaskTrainer
from transformers_mcl.models.modeling_mcl import MclPreTrainedModel

# Parameters as they were when we last read them; before `...`, which we only pass on, the first.
METHODS: dict[Any, dict[str, str]] = {
    Trainer: {
        "_finalize_training": "self, trial, num_train_samples, start_time",
        "_get_learning_rate": "self",
        "_get_output_dir": "self, trial",
        "_init_training_state": "self, max_steps, num_update_steps_per_epoch, num_train_epochs, "
        "resume_from_checkpoint, trial",
        "_load_best_model": "self",
        "_load_from_checkpoint": "self, resume_from_checkpoint, model",
        "_load_optimizer_and_scheduler": "self, checkpoint",
        "_load_scaler": "self, checkpoint",
        "_maybe_log_save_evaluate": "self, tr_loss, grad_norm, model, trial, epoch, ignore_keys_for_eval, start_time, "
        "learning_rate",
        "_prepare_inputs": "self, inputs",
        "_push_from_checkpoint": "self, checkpoint_folder",
        "_run_epoch": "self, ...",
        "_save": "self, ...",
        "_save_checkpoint": "self, model, trial",
    },
    PreTrainedModel: {
        "_check_and_adjust_attn_implementation": "self, attn_implementation, ...",
        "_from_config": "config, kwargs",
        "_init_weights": "self, module",
        "_upload_modified_files": "self, working_dir, repo_id, ...",
    },
    # Public, but what ours are called with is theirs to choose.
    ElectraModel: {
        "_create_attention_masks": "self, attention_mask, encoder_attention_mask, embedding_output, ...",
        "forward": "self, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, ...",
    },
    ElectraSelfAttention: {"forward": "self, hidden_states, attention_mask, ..."},
    PreTrainedTokenizerFast: {"_encode_plus": "self, text, text_pair, ..."},
    auto_factory: {"_get_model_class": "config, model_mapping"},
    hub: {"cached_files": "path_or_repo_id, filenames, ..."},  # is public; what we give it is not
}
ATTRIBUTES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (AutoModel, ("_model_mapping",)),
    (AutoModel._model_mapping, ("_reverse_config_mapping",)),
    (
        PreTrainedModel,
        (
            "_keys_to_ignore_on_load_unexpected",
            "_keys_to_ignore_on_save",
            "_no_split_modules",
            "_supports_flash_attn",
            "_supports_flex_attn",
            "_supports_sdpa",
            "_tied_weights_keys",
        ),
    ),
)
# Given in calls, or set and read on an object: looked for in the source.
WORDS: dict[Any, tuple[str, ...]] = {
    Trainer: ("self._tr_loss", "self._train_batch_size"),
    hub: ("_raise_exceptions_for_missing_entries", "_raise_exceptions_for_gated_repo"),
}
OURS = {MclTrainer: Trainer, TaskTrainer: Trainer, MclPreTrainedModel: PreTrainedModel}


def name_of(owner: Any) -> str:
    return str(getattr(owner, "__name__", type(owner).__name__))


def changed(owner: Any, name: str, what: str) -> str:
    return (
        f"transformers {transformers.__version__}: {name_of(owner)}.{name} {what}; see where src/transformers_mcl has "
        f"{name}, mend it for this release and the oldest allowed, and then write here how it is now"
    )


@pytest.mark.parametrize(
    ("owner", "name", "known"),
    [(owner, name, known) for owner, names in METHODS.items() for name, known in names.items()],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("_", "c")) else None,
)
def test_private_methods_are_as_we_know_them(owner: Any, name: str, known: str) -> None:
    assert hasattr(owner, name), changed(owner, name, "is gone")
    found = ", ".join(inspect.signature(getattr(owner, name)).parameters)
    first = known.removesuffix("...")
    same = found.startswith(first) if first != known else found == known
    assert same, changed(owner, name, f"is now called with ({found}), and was with ({known})")


def test_private_attributes_are_there() -> None:
    for owner, names in ATTRIBUTES:
        for name in names:
            assert hasattr(owner, name), changed(owner, name, "is gone")
    for owner, names in WORDS.items():
        source = inspect.getsource(owner)
        for name in names:
            assert name in source, changed(owner, name, "is nowhere in its source any more")


@pytest.mark.parametrize(("kind", "theirs"), OURS.items(), ids=lambda kind: kind.__name__)
def test_no_other_private_method_is_overridden(kind: type, theirs: type) -> None:
    """By name, or by chance: theirs would call ours."""
    classes = kind.__mro__[: kind.__mro__.index(theirs)]
    ours = {name for one in classes if "transformers_mcl" in one.__module__ for name in vars(one)}
    private = {name for name in ours & set(dir(theirs)) if name.startswith("_") and not name.startswith("__")}
    known = {*METHODS[theirs], *(name for owner, names in ATTRIBUTES if owner is theirs for name in names)}
    unknown = sorted(private - known - {"_abc_impl"})
    assert not unknown, changed(theirs, unknown[0], f"has the name of a method of {kind.__name__}")
