import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.foundation.prompt import prompt_ids
from etymon.serve.chat import Conversation, answers_beside
from etymon.store import DigestCache

Converse = Callable[..., tuple[Conversation, list[str]]]


def test_a_conversation_remembers(converse: Converse) -> None:
    conversation, notices = converse(temperature=0, tokens=10)
    first, second = "".join(conversation.say("One?")), "".join(conversation.say("Two?"))
    assert conversation.messages == [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": second},
    ]
    assert notices == []


def test_the_oldest_turns_leave_a_full_context_and_that_is_said(converse: Converse) -> None:
    conversation, notices = converse(temperature=0, tokens=60)
    asked = [f"Question {number}: " + "what is wrapped here? " * 6 for number in range(8)]
    for question in asked:
        list(conversation.say(question))
        assert len(prompt_ids(conversation.tokenizer, conversation.messages[:-1])) + 60 <= 512
    assert conversation.messages[-2]["content"] == asked[-1]
    assert conversation.messages[0]["content"] != asked[0]
    assert conversation.messages[0]["role"] == "user"
    assert notices
    assert "512 tokens" in notices[0]


def test_a_message_that_does_not_fit_leaves_the_conversation_as_it_was(converse: Converse) -> None:
    conversation, _ = converse(temperature=0, tokens=10)
    list(conversation.say("One?"))
    before = list(conversation.messages)
    with pytest.raises(EtymonError, match="may have 512"):
        list(conversation.say("word " * 600))
    assert conversation.messages == before


def test_without_a_template_the_text_is_continued_and_that_is_said(
    converse: Converse, chat_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(chat_folder, folder)
    (folder / "chat_template.jinja").unlink()
    model = describe_model(folder, name="plain", source="plain", digests=DigestCache(tmp_path / "digests.jsonl"))
    conversation, notices = converse(model, temperature=0, tokens=12)
    said = "".join(conversation.say("Return the"))
    assert notices == ["plain has no chat template: it continues your text and does not know that it is asked something."]
    start = conversation.tokenizer.convert_tokens_to_ids("<|endoftext|>")  # as every document in training begins
    ids = [start, *conversation.tokenizer("Return the")["input_ids"]]
    whole = conversation.network.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=12)[0][len(ids) :]
    assert said == conversation.tokenizer.decode(whole, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_two_models_answer_beside_each_other(converse: Converse, make_llama: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_llama(seed=5, tie_word_embeddings=False)
    other = describe_model(folder, name="other", source="other", digests=DigestCache(tmp_path / "digests.jsonl"))
    alone = ["".join(converse(temperature=0, tokens=15)[0].say("Hello")), "".join(_start(converse, other).say("Hello"))]
    both = [converse(temperature=0, tokens=15)[0], _start(converse, other)]
    pieces = list(answers_beside(both, "Hello"))
    assert ["".join(piece for which, piece in pieces if which == index) for index in (0, 1)] == alone
    assert {which for which, _ in pieces[:2]} == {0, 1}
    assert alone[0] != alone[1]


def test_stopping_two_answers_stops_both(converse: Converse) -> None:
    both = [converse(temperature=0, tokens=100)[0], converse(temperature=0.9, tokens=100)[0]]
    stream = answers_beside(both, "Hello")
    seen = [next(stream), next(stream)]
    stream.close()
    assert [conversation.messages[-1]["content"] for conversation in both] == [piece for _, piece in sorted(seen)]


def _start(converse: Converse, model: Model) -> Conversation:
    return converse(model, temperature=0, tokens=15)[0]
