"""A small model opened for a conversation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.serve.answer import AnswerSettings
from etymon.serve.chat import Conversation, open_conversation
from etymon.store import DigestCache


@pytest.fixture(scope="session")
def chat_folder(make_llama: Callable[..., Path]) -> Path:
    """Untied, for a random tied model says the last token again and again."""
    return make_llama(tie_word_embeddings=False)


@pytest.fixture(scope="session")
def chat_model(chat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    digests = DigestCache(tmp_path_factory.mktemp("digests") / "digests.jsonl")
    return describe_model(chat_folder, name="tiny", source=str(chat_folder), digests=digests)


@pytest.fixture
def converse(chat_model: Model) -> Callable[..., tuple[Conversation, list[str]]]:
    """A function that opens a conversation; gives it and the list its notices go to."""

    def start(model: Model = chat_model, **settings: float) -> tuple[Conversation, list[str]]:
        notices: list[str] = []
        return open_conversation(model, AnswerSettings(**settings), notices.append), notices  # type: ignore[arg-type]

    return start
