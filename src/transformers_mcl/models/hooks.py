"""What the models ask of the hub, which they do not import: the package puts its functions here as it is imported.

A copy of the models' code that is opened with `trust_remote_code=True` is without the package, and keeps these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Those of `from_pretrained` that say where a checkpoint is from.
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
# Where to open a name from, with the arguments of `from_pretrained`: `hub.by_name.locate`.
locate: Callable[..., Any] = lambda name_or_path, /, **hub: name_or_path  # noqa: E731
# Called by `push_to_hub` with the model, the folder, the repository's name and the token:
# `hub.export_card.bring_card`.
bring_card: Callable[..., None] = lambda *arguments: None  # noqa: E731
# What `config.json` calls its `auto_map` where a checkpoint needs the package.
DOOR = {"AutoConfig": "needs_transformers_mcl.MclConfig"}
# Called with a configuration and the folder that it is written into; writes the code that opens it beside it, and
# gives the `auto_map` that names that: `hub.remote_code.bring_code`. Of a copy of the models transformers does both.
bring_code: Callable[..., Any] = lambda config, folder: vars(config).get("auto_map")  # noqa: E731
# One half of a pair into a folder of its own: `hub.export.export_model`; only the package has pairs.
export_model: Callable[..., Any]
