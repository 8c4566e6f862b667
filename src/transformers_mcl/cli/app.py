"""``transformers-mcl app``: the page of ``inspect --html`` for any sentence and any pair, in a browser."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers_mcl.cli.arguments import parse_arguments
from transformers_mcl.cli.main import COMMANDS, PROG
from transformers_mcl.data.shipped import SHIPPED_PAIR
from transformers_mcl.inspection import check_text
from transformers_mcl.inspection.app import serve
from transformers_mcl.ranges import check_numbers


@dataclass
class AppArguments:
    """Which pairs, and where they are served.

    Raises:
        UserError: empty text.
    """

    model_name_or_path: list[str] = field(
        default_factory=lambda: [SHIPPED_PAIR],
        metadata={
            "help": "Pairs that `pretrain` wrote: directories, or names on the Hub; mcl-pair is the one inside the "
            "package. The first is shown at first."
        },
    )
    text: str = field(default="The chef cooked the meal.", metadata={"help": "The first sentence."})
    server_name: str = field(
        default="127.0.0.1", metadata={"help": "Address to listen at; 0.0.0.0 serves other machines as well."}
    )
    server_port: int = field(default=7860, metadata={"help": "Port to listen at."})
    share: bool = field(default=False, metadata={"help": "Also serve it through a public link of Gradio's."})
    inbrowser: bool = field(default=False, metadata={"help": "Open it in this machine's browser."})

    def __post_init__(self) -> None:
        check_numbers(self)
        check_text(self.text)


def run(argv: list[str]) -> None:
    """Serve pairs; `argv` is what follows ``transformers-mcl app``."""
    arguments: AppArguments
    (arguments,) = parse_arguments([AppArguments], argv, prog=f"{PROG} app", description=COMMANDS["app"])
    serve(
        arguments.model_name_or_path,
        arguments.text,
        server_name=arguments.server_name,
        server_port=arguments.server_port,
        share=arguments.share,
        inbrowser=arguments.inbrowser,
    )
