"""A checkpoint of a run as revisions of a repository on the Hub, of which each opens like any model."""

from __future__ import annotations

from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME
from transformers.utils.hub import hf_api

from ..errors import UserError
from ..io import load_json
from ..models.hooks import DOOR
from .push import explaining_refusals

__all__ = ["push_revision"]

# All that opens as a model and its tokenizer: not what a run goes on from, nor what names folders of this machine.
_PUSHED = [CONFIG_NAME, GENERATION_CONFIG_NAME, "model*.safetensors", SAFE_WEIGHTS_INDEX_NAME]
_PUSHED += [f"{DOOR['AutoConfig'].partition('.')[0]}.py"]
_PUSHED += ["tokenizer*", "special_tokens_map.json", "added_tokens.json", "*.jinja"]
_PUSHED += ["vocab.*", "merges.txt", "*.model"]


def push_revision(checkpoint: str | Path, name: str, *, token: str | None = None) -> None:
    """Uploads the model and tokenizer of a checkpoint to the branches `step-N` and `tokens-N` of the repository
    `name`, which has to be there: its optimizer steps, and the tokens that they read over all processes. A branch
    has these files and no others; one that is there is brought up to date.

    Args:
        checkpoint: a folder `checkpoint-N` of a run.

    Raises:
        UserError: the checkpoint cannot be read, or the Hub refuses or cannot be reached.
    """
    path = Path(checkpoint) / TRAINER_STATE_NAME
    step, tokens = (load_json(path).get(name) for name in ("global_step", "num_input_tokens_seen"))
    if not step or not tokens:
        raise UserError(f"{path} does not count steps and tokens: push a checkpoint of `pretrain` or MclTrainer")
    api = hf_api()
    with explaining_refusals(name, "hub_model_id"):
        # Of main a branch would have another model, if the push ends here.
        empty = api.list_repo_commits(name, token=token)[-1].commit_id
        for branch in (f"step-{step}", f"tokens-{tokens}"):
            api.create_branch(name, branch=branch, revision=empty, token=token, exist_ok=True)
            api.upload_folder(
                repo_id=name,
                folder_path=checkpoint,
                revision=branch,
                commit_message=f"Step {step}, after {tokens} tokens",
                token=token,
                allow_patterns=_PUSHED,
                delete_patterns="*",  # what it has of an earlier push
            )
