from __future__ import annotations

from typing import Any

import pytest

from transformers_mcl.errors import UserError
from transformers_mcl.hub.card_arguments import CardArguments


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"language": ["en", "English"]}, "language: 'English' is no code of a language, as ISO 639 has them: en, de"),
        ({"language": ["e"]}, "language: 'e' is no code"),
        ({"license": "apache2"}, "license: there is no 'apache2'; .*did you mean 'apache-2.0'"),
    ],
)
def test_what_the_hub_does_not_know(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CardArguments(**given)


def test_what_it_knows() -> None:
    for code in ("en", "yue", "zh-Hant", "pt-BR", "multilingual", "code"):
        CardArguments(language=[code], license="other")
    CardArguments()
