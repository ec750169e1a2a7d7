"""What a model of the Hugging Face hub is called, however people write it."""

import re

_WRITTEN = re.compile(
    r"(?:hf:|hf://|https?://(?:www\.)?(?:huggingface\.co|hf\.co)/)?"
    r"(?P<name>[a-z0-9][\w.-]*/[a-z0-9][\w.-]*)(?:@.*|/(?:tree|blob|resolve)/.*)?/?",
    re.ASCII,
)


def hub_name(text: str) -> str:
    """``org/name`` in lower case, by which two names are the same model: the hub tells them apart by no case.

    Also of ``hf:org/name@revision`` and of the repository's address; any other text stays as it is, without spaces around it.
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    return found["name"] if found else text.strip()
