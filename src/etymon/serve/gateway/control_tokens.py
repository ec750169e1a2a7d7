"""Control tokens that someone typed stay text.

llama.cpp renders a conversation by the chat template and then reads the whole text for control tokens, those of the template
and those that were in a message alike: ``<|im_end|>`` in a question would end it, and what follows it could pose as the
system. So in everything that a client says, a zero-width space is put after the first character of each such token. The
model reads it as the letters that it is.
"""

import json
import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from etymon.foundation.gguf.header import GgufHeader

BREAK = "\N{ZERO WIDTH SPACE}"
_CONTROL, _UNKNOWN, _USER_DEFINED = 3, 2, 4
"""Kinds of tokens in a GGUF (``tokenizer.ggml.token_type``) that llama.cpp looks for in a rendered conversation."""
_TEMPLATE = "tokenizer.chat_template"
_USUAL = (
    "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<tool_call>", "</tool_call>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
)  # fmt: skip
_TAKEN = frozenset(
    ("<EOT>", "_<EOT>", "<end_of_utterance>", "<fim_prefix>", "<fim-prefix>", "<fim_suffix>", "<fim-suffix>", "<fim_middle>",
     "<fim-middle>", "<fim-pad>", "<PRE>", "▁<PRE>", "<SUF>", "▁<SUF>", "<MID>", "▁<MID>", "<PAD>", "<repo>", "<reponame>",
     "<REPO>", "<file_sep>", "<|eot_id|>", "<|im_end|>", *_USUAL)
)  # fmt: skip
"""Tokens that llama.cpp takes for control tokens by their looks, whatever kind a file gives them."""
_FRAMED = r"<[|｜][^<>|｜]{1,64}[|｜]>"
"""As LLaMA 3, Qwen, Phi and DeepSeek write them."""


class ControlTokens:
    """The control tokens of one model."""

    def __init__(self, tokens: Iterable[str], pattern: str = "") -> None:
        """``pattern`` is a regular expression that matches more of them."""
        known = sorted({token for token in tokens if len(token) > 1}, key=lambda token: (-len(token), token))
        alternatives = [*map(re.escape, known), *([pattern] if pattern else [])]
        self._pattern = re.compile("|".join(alternatives)) if alternatives else None

    @classmethod
    def of(cls, header: GgufHeader) -> "ControlTokens":
        """Those of a file: by their kind, by being named as the end of a turn and the like, and by their looks, since
        llama.cpp corrects files that give a wrong kind. Of the user-defined kind, which can be any words, those count that
        the template uses."""
        template = header.get(_TEMPLATE, str, "")
        tokens = header.get("tokenizer.ggml.tokens", list, [])
        kinds = header.metadata.get("tokenizer.ggml.token_type", [])
        named = [header.metadata[key] for key in header.metadata if re.fullmatch(r"tokenizer\.ggml\.\w+_token_id", key)]
        return cls(
            token
            for number, (token, kind) in enumerate(zip_longest(tokens, kinds[: len(tokens)]))
            if kind in (_CONTROL, _UNKNOWN)
            or number in named
            or token in _TAKEN
            or re.fullmatch(_FRAMED, token)
            or (kind == _USER_DEFINED and not token.isspace() and token in template)
        )

    @classmethod
    def usual(cls) -> "ControlTokens":
        """Those of the common families, for a model whose tokenizer is not at hand."""
        return cls(_USUAL, _FRAMED)

    def defused(self, text: str) -> str:
        """``text`` without a control token in it, and otherwise as it was."""
        if self._pattern is None:
            return text
        while True:
            broken = self._pattern.sub(_broken, text)
            if broken == text:
                return text
            text = broken  # what is left of two that overlapped may hold another

    def defused_all(self, value: Any) -> Any:
        """Every string in a JSON value, names of fields included."""
        if isinstance(value, str):
            return self.defused(value)
        if isinstance(value, list):
            return [self.defused_all(each) for each in value]
        if isinstance(value, dict):
            return {self.defused(name): self.defused_all(each) for name, each in value.items()}
        return value

    def conversation(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Messages as they go to the engine: the parts of a content joined first, for two halves could make a token."""
        return [self._message(message) for message in messages]

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        said = dict(message)
        role = said.pop("role")  # one of a few words, and never text
        if isinstance(said.get("content"), list):
            said["content"] = "".join(part["text"] for part in said["content"])
        if "tool_calls" in said:
            said["tool_calls"] = [self._call(call) for call in said["tool_calls"]]
        return {"role": role, **self.defused_all(said)}

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        """A tool's arguments are JSON within a string, which templates parse: ``\\u003c`` in it is a ``<``."""
        text = call["function"]["arguments"]
        try:
            arguments = json.loads(text)
            defused = self.defused_all(arguments)
        except (ValueError, RecursionError):
            return call
        if defused == arguments:
            return call
        return {**call, "function": {**call["function"], "arguments": json.dumps(defused)}}


def _broken(found: re.Match[str]) -> str:
    token = found.group()
    return token[0] + BREAK + token[1:]
