"""What a model card says of the model that nobody can find out: its language and licence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import UserError, check_name
from ..ranges import check_numbers

__all__ = ["LICENSES", "CardArguments"]

# Those that the Hub knows, https://huggingface.co/docs/hub/repositories-licenses.
LICENSES = (
    "afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 "
    "bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 "
    "cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
    "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 "
    "etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community "
    "h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 "
    "lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl "
    "postgresql unknown unlicense wtfpl zlib"
).split()
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual|code")


@dataclass(kw_only=True)
class CardArguments:
    """What the model card is to say.

    Raises:
        UserError: no code of a language, or no licence that the Hub knows.
    """

    language: list[str] | None = field(
        default=None, metadata={"help": "For the model card: codes of the languages of the text, as en de."}
    )
    license: str | None = field(
        default=None, metadata={"help": "For the model card: the model's licence, as the Hub calls it: apache-2.0."}
    )

    def __post_init__(self) -> None:
        check_numbers(self)  # of those that add to these
        for code in self.language or ():
            if not _LANGUAGE.fullmatch(code):
                raise UserError(f"language: {code!r} is no code of a language, as ISO 639 has them: en, de, zh, yue")
        if self.license is not None:
            check_name("license", self.license, LICENSES)
