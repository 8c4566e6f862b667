"""The entry point ``transformers-mcl COMMAND``: finds the command, imports it, and turns failures into exit codes."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module, metadata
from typing import NoReturn

from ..errors import Interrupted, UserError
from ..io import is_disk_full, one_line, without_secrets
from .terminal import in_utf8, terminals

PROG = "transformers-mcl"
DEBUG = "TRANSFORMERS_MCL_DEBUG"
COMMANDS = {
    "pretrain": "pre-train a generator and a discriminator on text",
    "plan": "try presets, objectives or learning rates before a long run: what each costs and buys",
    "tokenizer": "train a tokenizer on text",
    "finetune": "fine-tune an encoder on GLUE, SQuAD or a task of your own",
    "inspect": "show what a pre-trained pair does to a sentence",
    "app": "the same in a browser, for any sentence and pair",
    "evaluate": "judge an encoder without fine-tuning: minimal pairs (BLiMP), probes, losses, choices",
    "convert": "make a checkpoint of fairseq's, MCL-base say, one of this package",
    "soup": "average the weights of checkpoints: uniform, weighted, greedy or learned",
    "export": "write one half of a pair for other tools: plain ELECTRA, remote code, ONNX",
}
"""Name of every command and its line in ``--help``; its module is ``transformers_mcl.cli.<name>``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    Args:
        argv: the words after ``transformers-mcl``; those of this process when None.

    Returns:
        0, or what the command returned; 2 after a `UserError` (one line on stderr), 130 after Ctrl-C, 143 when a run
        saved and ended at SIGTERM. All is done, but what it printed is lost: 141 when the reader of stdout went away,
        1 when stdout could not be written. Any other exception is a bug and passes through, with its traceback; so
        does a `UserError` when the environment variable TRANSFORMERS_MCL_DEBUG is 1.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prog = f"{PROG} {words[0]}" if words and words[0] in COMMANDS else PROG
    with terminals() as out:
        try:
            status = _run(words, prog)
        except SystemExit as left:  # after --help
            out.flush()
            sys.exit(left.code or out.status)
        out.flush()
        if status or out.error is None:
            return status
        if out.status != 141:
            print(f"{prog}: what was to be printed is lost: {out.error.strerror}; all else is done", file=sys.stderr)
        return out.status


def _run(words: list[str], prog: str) -> int:
    """What a command returns, or what its failure amounts to."""
    try:
        return _dispatch(words)
    except UserError as error:
        if os.environ.get(DEBUG) == "1":
            raise
        print(f"{prog}: error: {without_secrets(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except Interrupted as ended:
        print(f"{prog}: {ended}", file=sys.stderr)
        return 143
    except Exception as error:
        if os.environ.get(DEBUG) == "1" or not is_disk_full(error):
            raise
        print(f"{prog}: error: the disk is full: {one_line(error)}: make room, and run it again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    name = words[0] if words else None
    if name in COMMANDS:
        return import_module(f"transformers_mcl.cli.{name}").run(words[1:]) or 0
    if name is None:
        print(_help(), end="", file=sys.stderr)
        return 2
    if name in ("-h", "--help"):
        print(_help(), end="")
    elif name == "--version":
        print(PROG, metadata.version(PROG))
    else:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise UserError(f"unknown command {name!r}; {hint}")
    return 0


def entry(command: Callable[[], int] = main) -> NoReturn:
    """What the console script and ``python -m`` call: ends Python with the exit status of `command`.

    Under a launcher Python ends at once, when all that was registered for its end has been done. gloo's threads may
    still hold tensors of a collective that is over, and a thread that lets go of one while Python is being taken down
    aborts the process (pytorch/pytorch#179291), with all work done.
    """
    in_utf8()
    ended: list[int] = []

    def end_at_once() -> None:
        distributed = sys.modules.get("torch.distributed")
        if not ended or distributed is None or not distributed.is_available() or not distributed.is_initialized():
            return  # an exception is on its way, or there is one process
        # After an error the others may be waiting in a collective, and leaving the group would wait for them.
        if ended[0] in (0, 143):
            distributed.destroy_process_group()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(ended[0])

    atexit.register(end_at_once)  # first in, last out
    ended.append(command())
    sys.exit(ended[0])


def _help() -> str:
    commands = "\n".join(f"  {name:<11}{text}" for name, text in COMMANDS.items())
    return f"""usage: {PROG} [-h] [--version] COMMAND ...

Pre-train ELECTRA-style encoders with multi-perspective course learning (MCL).

commands:
{commands}

'{PROG} COMMAND --help' lists the arguments of a command; each also reads them from --config FILE.yaml.
{DEBUG}=1 in the environment shows the traceback of an error.
"""
