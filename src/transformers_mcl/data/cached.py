"""Tables written to the cache of `datasets` once, and mapped into memory from there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import ArrowBasedBuilder, BuilderConfig, Dataset, DatasetInfo, DownloadMode, Features, SplitGenerator
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher
from transformers.utils import logging

from ..errors import UserError
from ..io import is_disk_full, load_json

__all__ = ["READER", "map_once", "write_once"]

logger = logging.get_logger(__name__)

READER = 1
"""Of what `follows_from`: another number where the same files give other rows than before: they are read anew then."""


class _Refused(DatasetGenerationError):
    """Carries the line of a `UserError` through `datasets`, which wraps all other errors, and between processes."""


@dataclass
class _Config(BuilderConfig):
    generate: Callable[..., Iterator[pa.Table]] = iter
    arguments: dict[str, Any] = field(default_factory=dict)
    features: Features | None = None


class _Builder(ArrowBasedBuilder):
    BUILDER_CONFIG_CLASS = _Config

    def _build_cache_dir(self) -> str:
        """As it is; what is there and damaged is removed, since it can be made anew."""
        folder = str(super()._build_cache_dir())
        if _is_damaged(Path(folder)):
            logger.warning(f"{folder} is damaged: it is made anew")
            shutil.rmtree(folder)
        return folder

    def _info(self) -> DatasetInfo:
        return DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        return [SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs=self.config.arguments)]

    def _generate_tables(self, **arguments: Any) -> Iterator[tuple[int, pa.Table]]:
        try:
            yield from enumerate(self.config.generate(**arguments))
        except UserError as error:
            raise _Refused(str(error)) from error


def _is_damaged(folder: Path) -> bool:
    """Whether the cache holds something other than what was written, as far as can be seen without reading it all."""
    if not (info := folder / datasets.config.DATASET_INFO_FILENAME).exists():
        return False
    try:
        rows = load_json(info)["splits"]["train"]["num_examples"]
        files = [path for path in folder.glob("*.arrow") if not path.name.startswith("cache-")]
        return rows != sum(len(Dataset.from_file(str(path))) for path in files)
    except Exception:  # whatever a damaged file leads to
        return True


def map_once(table: Dataset, function: Callable[..., Any], **options: Any) -> Dataset:
    """`table.map`, from the cache if it is there and whole."""
    try:
        return table.map(function, **options)
    except (OSError, pa.ArrowException) as error:
        if is_disk_full(error):
            raise
        return table.map(function, **{**options, "load_from_cache_file": False})


def write_once(
    generate: Callable[..., Iterator[pa.Table]],
    arguments: dict[str, Any],
    features: Features,
    follows_from: Any,
    *,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    overwrite: bool = False,
) -> Dataset:
    """The tables of `generate(**arguments)` as one, from the cache if it is there.

    Args:
        generate: of tables with `features`. With `num_proc` it is called by several processes, each with a part of
            every list in `arguments`; the order is the same.
        follows_from: all that the tables depend on; the same, the same tables.
        cache_dir: of `datasets`; its own default if None.
        overwrite: even if they are there.

    Raises:
        UserError: as `generate` does.
    """
    builder = _Builder(
        cache_dir=cache_dir,
        config_id=f"default-{Hasher.hash(follows_from)}",
        features=features,
        generate=generate,
        arguments=arguments,
    )
    mode = DownloadMode.FORCE_REDOWNLOAD if overwrite else DownloadMode.REUSE_DATASET_IF_EXISTS
    try:
        builder.download_and_prepare(download_mode=mode, num_proc=num_proc)
    except _Refused as error:
        raise UserError(str(error)) from error
    if not builder.info.splits["train"].num_examples:
        return Dataset.from_dict({name: [] for name in features}, features=features)
    return builder.as_dataset(split="train")
