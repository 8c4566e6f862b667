"""How a card says what to install, and what to cite."""

from __future__ import annotations

__all__ = ["INSTALL", "PACKAGE", "citation"]

PACKAGE = "[transformers-mcl](https://pypi.org/project/transformers-mcl/)"

INSTALL = f"It needs {PACKAGE}:\n\n```bash\npip install transformers-mcl\n```"

_PAPER = """@inproceedings{chen-etal-2023-pre,
    title = "Pre-training Language Model as a Multi-perspective Course Learner",
    author = "Chen, Beiduo and Huang, Shaohan and Zhang, Zihan and Guo, Wu and Ling, Zhenhua and Huang, Haizhen and
      Wei, Furu and Deng, Weiwei and Zhang, Qi",
    booktitle = "Findings of the Association for Computational Linguistics: ACL 2023",
    year = "2023",
    address = "Toronto, Canada",
    publisher = "Association for Computational Linguistics",
    url = "https://aclanthology.org/2023.findings-acl.9",
    doi = "10.18653/v1/2023.findings-acl.9"
}
"""
_SOFTWARE = """@software{transformers-mcl,
    title = "transformers-mcl",
    author = "{The transformers-mcl contributors}",
    url = "https://pypi.org/project/transformers-mcl/"
}
"""


def citation(paper: bool = True) -> str:
    """The section of a card that gives BibTeX of the package, and of the `paper` where MCL trained the model."""
    entries = "\n".join([_PAPER, _SOFTWARE] if paper else [_SOFTWARE])
    return f"## Citation\n\n```bibtex\n{entries}```"
