"""Files as shards: pieces that are found without reading them, and whose documents can be read on their own."""

from __future__ import annotations

from datasets import load_dataset_builder

from .arguments import DataArguments
from .corpus import check_has_train, local_files, reading_from_hub
from .documents import Reading, Shard, divide, read_documents

__all__ = ["Reading", "Shard", "find_shards", "read_documents"]


def find_shards(args: DataArguments) -> dict[str, list[Shard]]:
    """The shards of each split that `args` names, in order; see `load_corpus` for what is read, and as what.

    Raises:
        UserError: a file or dataset is missing, or the first file of a kind has no text column.
    """
    files = local_files(args)
    if "train" not in files:
        files = _remote_files(args) | files
    return {split: divide(paths, Reading.of(args)) for split, paths in files.items()}


def _remote_files(args: DataArguments) -> dict[str, list[str]]:
    """Addresses of the files of a dataset of the Hub."""
    name = str(args.dataset_name)
    with reading_from_hub(name):
        splits = load_dataset_builder(name, args.dataset_config_name).config.data_files or {}
    check_has_train(splits, name)
    return {split: [str(path) for path in splits[split]] for split in ("train", "validation") if split in splits}
