"""Every objective's examples, from rows in files through the corpus stage to token ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_corpora import corpus_of, corpus_of_documents, turns
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from chat_templates import BEFORE, CHATML, ENDS, GEMMA, TEMPLATES, tokenizer_with
from etymon.errors import EtymonError
from etymon.foundation.template import answer_spans, render
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.text.rows import Message, Row
from etymon.train.encode import Dropped, Encoded, encode_corpus
from etymon.train.row_tokens import APART, RowTokens, UnusableRow, tokenize_rows
from tokenizer_styles import llama2_style

NUMBERS = range(24)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Conversations of three turns."""
    rows = [
        turns(f"What is {n} and {n}?", f"It is {n + n}.", f"Sure that {n}?", f"Yes,\n\n{n + n}.", "Really so?", f"No: {n}.")
        for n in NUMBERS
    ]
    return corpus_of(rows, "chat", tmp_path_factory.mktemp("talks"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rows = [{"prompt": f"What is {n}?", "chosen": f"{n} is a number.", "rejected": f"No idea about {n}"} for n in NUMBERS]
    return corpus_of(rows, "preference", tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rows = [{"prompt": f"What is {n}?", "completion": f"{n} is a number.", "label": n % 3 == 0} for n in NUMBERS]
    return corpus_of(rows, "preference", tmp_path_factory.mktemp("judged"))


def encode(corpus: Artifact, tokenizer: PreTrainedTokenizerBase, objective: str = "sft", **given: Any) -> Encoded:
    asked = Train.model_validate({"budget": {"tokens": 1}, "objective": objective, **given})
    return encode_corpus(corpus, tokenizer, asked, lambda *_, **__: lambda done: None)


def sequences(encoded: Encoded, example: int) -> list[tuple[list[int], list[bool]]]:
    """What the model reads and learns: of a prompt with answers, the prompt with each of them."""
    examples = encoded.examples
    (ids, learned), *answers = [
        tuple(array.tolist() for array in examples.segment(segment)) for segment in examples.segments_of(example)
    ]
    return [(ids + more, learned + known) for more, known in answers] or [(ids, learned)]


def stretches(learned: Sequence[bool]) -> list[tuple[int, int]]:
    """[begin, end) of what is learned without a gap."""
    edges = np.flatnonzero(np.diff(np.array(learned), prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def learned_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], learned: Sequence[bool]) -> list[str]:
    return [tokenizer.decode(ids[begin:end]) for begin, end in stretches(learned)]


def number_of(encoded: Encoded, example: int) -> int:
    """Which of ``NUMBERS`` an example came from, by its name."""
    name = encoded.names[encoded.examples.documents[example]]
    assert name.startswith("rows/")
    return int(name.split("#")[1]) - 1


@pytest.mark.parametrize("family", TEMPLATES)
def test_what_is_learned_is_every_answer_with_its_end_mark(talks: Artifact, family: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[family])
    encoded = encode(talks, tokenizer)
    assert len(encoded.examples) > 15
    assert not encoded.dropped
    assert not encoded.shortened
    for example in range(len(encoded.examples)):
        n = number_of(encoded, example)
        expected = [
            BEFORE.get(family, "") + said + ENDS[family] for said in (f"It is {n + n}.", f"Yes,\n\n{n + n}.", f"No: {n}.")
        ]
        if family == "qwen3":
            expected[-1] = "<think>\n\n</think>\n\n" + expected[-1]
        ((ids, learned),) = sequences(encoded, example)
        assert learned_texts(tokenizer, ids, learned) == expected
        prompt = render(tokenizer, [Message("user", f"What is {n} and {n}?")], add_generation_prompt=True)
        assert tokenizer.decode(ids[: learned.index(True)]) == prompt


@pytest.mark.parametrize("family", TEMPLATES)
def test_only_the_last_answer_is_learned_where_that_is_asked(talks: Artifact, family: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[family])
    encoded = encode(talks, tokenizer, sft={"supervise": "last"})
    for example in range(3):
        ((ids, learned),) = sequences(encoded, example)
        (said,) = learned_texts(tokenizer, ids, learned)
        assert said.endswith(f"No: {number_of(encoded, example)}." + ENDS[family])
        assert learned[-1]


def test_a_long_conversation_ends_after_its_last_answer_that_fits(talks: Artifact) -> None:
    tokenizer = tokenizer_with(CHATML)
    whole = encode(talks, tokenizer)
    longest = max(stretches(sequences(whole, example)[0][1])[1][1] for example in range(len(whole.examples)))
    encoded = encode(talks, tokenizer, sequence_length=longest)
    assert encoded.counts == {"shortened-after-an-answer": len(whole.examples)}
    assert {each.row for each in encoded.shortened} == set(encoded.names)
    for example in range(len(encoded.examples)):
        ((ids, learned),) = sequences(encoded, example)
        assert len(learned_texts(tokenizer, ids, learned)) == 2
        assert learned[-1]
        assert len(ids) <= longest


def test_a_conversation_whose_first_answer_does_not_fit_is_dropped(talks: Artifact) -> None:
    tokenizer = tokenizer_with(CHATML)
    first = sequences(encode(talks, tokenizer), 0)[0][1].index(True)
    with pytest.raises(
        EtymonError, match=r"longer-than-sequence-length.*rows/chat\.jsonl#\d+: its first answer ends at"
    ) as found:
        encode(talks, tokenizer, sequence_length=first)
    assert "train.sequence_length" in found.value.remedy


def test_the_answers_of_a_pair_share_their_prompt(pairs: Artifact) -> None:
    tokenizer = tokenizer_with(CHATML)
    encoded = encode(pairs, tokenizer, "dpo")
    examples = encoded.examples
    assert len(examples) > 15
    for example in range(len(examples)):
        n = number_of(encoded, example)
        assert [int(examples.parents[segment]) for segment in examples.segments_of(example)] == [-1, 0, 0]
        for (ids, learned), answer in zip(
            sequences(encoded, example), (f"{n} is a number.", f"No idea about {n}"), strict=True
        ):
            assert learned_texts(tokenizer, ids, learned) == [answer + "<|im_end|>"]
            turn = render(
                tokenizer, [Message("user", f"What is {n}?"), Message("assistant", answer)], add_generation_prompt=False
            )
            assert tokenizer.decode(ids) + "\n" == turn


def test_a_pair_that_is_too_long_is_dropped(pairs: Artifact) -> None:
    tokenizer = tokenizer_with(CHATML)
    longest = encode(pairs, tokenizer, "dpo").examples.longest
    encoded = encode(pairs, tokenizer, "dpo", sequence_length=int(longest.max()) - 1)
    assert len(encoded.dropped) == (longest == longest.max()).sum()
    assert encoded.dropped[0].detail == f"prompt and longest answer have {longest.max()} tokens"


def test_sides_that_the_template_makes_equal_are_dropped(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"What is {n}?", "chosen": f"Yes {n}", "rejected": f"yes {n}" if n % 2 else f"No {n}"} for n in NUMBERS
    ]
    lower = tokenizer_with(CHATML.replace("{{ m.content }}", "{{ m.content | lower }}"))
    encoded = encode(corpus_of(rows, "preference", tmp_path), lower, "orpo")
    assert {each.reason for each in encoded.dropped} == {"equal-sides"}
    assert {int(each.row.split("#")[1]) % 2 for each in encoded.dropped} == {0}


def test_a_judged_answer_also_comes_with_the_prompts_of_others(judged: Artifact) -> None:
    tokenizer = tokenizer_with(CHATML)
    encoded = encode(judged, tokenizer, "kto")
    examples, others = encoded.examples, encoded.mismatched
    assert others is not None
    taken = []
    for example in range(len(examples)):
        n = number_of(encoded, example)
        assert bool(examples.liked[example]) == (n % 3 == 0)
        prompt, answer = (examples.segment(segment)[0].tolist() for segment in examples.segments_of(example))
        same, other = (others.segment(segment)[0].tolist() for segment in others.segments_of(example))
        assert prompt == same
        assert answer != other
        taken.append(other)
    answers = [examples.segment(examples.segments_of(example)[1])[0].tolist() for example in range(len(examples))]
    assert sorted(taken) == sorted(answers)
    assert encode(judged, tokenizer, "kto", seed=1).mismatched.ids.tolist() != others.ids.tolist()  # type: ignore[union-attr]


def test_prompt_and_completion_are_one_text_between_the_marks_of_a_document(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} plus <|im_end|> is", "completion": f" {n}, </s>"} for n in NUMBERS]
    tokenizer = tokenizer_with(CHATML)
    encoded = encode(corpus_of(rows, "chat", tmp_path), tokenizer)
    assert not encoded.dropped
    ((ids, learned),) = sequences(encoded, 0)
    n = number_of(encoded, 0)
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids[1:-1]) == f"{n} plus <|im_end|> is {n}, </s>"
    assert learned_texts(tokenizer, ids, learned) == [f" {n}, </s></s>"]


def test_control_tokens_in_messages_are_dropped_with_their_place(tmp_path: Path) -> None:
    rows = [turns(f"What is {n}?", f"It is {n}.") for n in NUMBERS]
    rows[3] = turns("What?", "I end <|im_end|> here.")
    rows[5] = turns("What is <think> for?", "For thinking, and 5.")
    rows[7] = turns("What is seven?", "<think>\nSeven.\n</think>\n\nIt is 7.")
    corpus = corpus_of(rows, "chat", tmp_path, heldout=0.01)
    found = {each.row: each for each in encode(corpus, tokenizer_with(TEMPLATES["qwen3"])).dropped}
    assert {row: each.reason for row, each in found.items()} == dict.fromkeys(
        ("rows/chat.jsonl#4", "rows/chat.jsonl#6"), "control-token-in-text"
    )
    assert "<|im_end|>" in found["rows/chat.jsonl#4"].detail
    assert not [each for each in encode(corpus, tokenizer_with(CHATML)).dropped if each.row == "rows/chat.jsonl#6"]


def test_a_row_that_the_template_refuses_is_dropped_with_what_it_said(tmp_path: Path) -> None:
    rows = [turns(f"What is {n}?", f"It is {n}.", system="Be brief." if n % 2 else None) for n in NUMBERS]
    encoded = encode(corpus_of(rows, "chat", tmp_path), tokenizer_with(GEMMA))
    assert {number_of(encoded, example) % 2 for example in range(len(encoded.examples))} == {0}
    assert {int(each.row.split("#")[1]) % 2 for each in encoded.dropped} == {0}
    assert set(encoded.dropped) >= {Dropped(each.row, "template-refuses", "No system turns here") for each in encoded.dropped}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('never') }}", "template-refuses"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "no-end-of-turn"),
        (
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
            "template-rewrites-the-prompt",
        ),
    ],
)
def test_where_no_row_is_left_the_template_is_named(talks: Artifact, template: str, reason: str) -> None:
    with pytest.raises(EtymonError, match=f"{reason} .*the first is rows/chat.jsonl#") as found:
        encode(talks, tokenizer_with(template))
    assert "train.chat_template" in found.value.remedy


def test_an_answer_whose_beginning_joins_the_prompt_has_its_own_tokens(
    tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    """The prompt ends with a line break; an answer that begins with spaces makes one token with it."""
    answers = ["    x = 1\n    y = 2", "\n\nSee above.", "Plain."]
    rows = [turns(f"What is {n}?", answers[n % 3], f"And {n + 1}?", answers[(n + 1) % 3]) for n in NUMBERS]
    encoded = encode(corpus_of(rows, "chat", tmp_path), tiny_tokenizer)
    assert not encoded.dropped
    changed = {each.row for each in encoded.shortened}
    assert {each.reason for each in encoded.shortened} == {APART}
    joined = 0
    for example in range(len(encoded.examples)):
        n = number_of(encoded, example)
        messages = [Message(each["role"], each["content"]) for each in rows[n]["messages"]]
        ((ids, learned),) = sequences(encoded, example)
        text = render(tiny_tokenizer, messages, add_generation_prompt=False).removesuffix("\n")
        assert tiny_tokenizer.decode(ids) == text
        assert learned_texts(tiny_tokenizer, ids, learned) == [each.content + "<|im_end|>" for each in messages[1::2]]
        prompt = render(tiny_tokenizer, messages[:1], add_generation_prompt=True)
        assert ids[: learned.index(True)] == tiny_tokenizer(prompt)["input_ids"]
        joins = ids != tiny_tokenizer(text)["input_ids"]
        assert joins == (encoded.names[encoded.examples.documents[example]] in changed)
        joined += joins
    assert 0 < joined < len(encoded.examples)


def test_what_by_itself_would_be_another_text_is_dropped(some_texts: list[str]) -> None:
    """A tokenizer that writes a space before every text cannot write the end of a word."""
    tokenizer = llama2_style(some_texts)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{{ ' th' if m.role == 'user' else eos_token }}{% endfor %}"
    )
    (found, usable) = tokenize_rows(
        tokenizer,
        [Row((Message("user", "Say it"),), ("e end",)), Row((Message("user", "Say it"),), (" and so on",))],
        last_only=False,
    )
    assert isinstance(found, UnusableRow)
    assert (found.reason, found.detail) == ("token-over-the-boundary", "a token joins the prompt and 'e end<|end|>'")
    assert isinstance(usable, list)


Contents = st.lists(
    st.text(st.sampled_from("ab \n\t.é日🙂")).map(lambda text: text + "."), min_size=2, max_size=6
).filter(lambda contents: len(contents) % 2 == 0)  # fmt: skip


@given(Contents)
@settings(max_examples=60)
def test_no_character_is_lost_and_every_prompt_is_the_servers(
    tiny_tokenizer: PreTrainedTokenizerFast, contents: list[str]
) -> None:
    messages = tuple(Message("assistant" if place % 2 else "user", said) for place, said in enumerate(contents))
    (sides,) = tokenize_rows(tiny_tokenizer, [Row(messages[:-1], (messages[-1].content,))], last_only=False)
    assert isinstance(sides, list)
    (tokens,) = sides
    assert isinstance(tokens, RowTokens)
    text, spans, *_ = answer_spans(tiny_tokenizer, messages)
    assert tiny_tokenizer.decode([id_ for turn in tokens.turns for part in turn for id_ in part]) == text[: spans[-1][1]]
    for (_, answer), message in zip(tokens.turns, messages[1::2], strict=True):
        assert tiny_tokenizer.decode(answer) == message.content + "<|im_end|>"
    before: list[int] = []
    for place, (prompt, answer) in enumerate(tokens.turns):
        before += prompt
        served = tiny_tokenizer(render(tiny_tokenizer, messages[: 2 * place + 1], add_generation_prompt=True))["input_ids"]
        assert before == served or (place and tiny_tokenizer.decode(before) == tiny_tokenizer.decode(served))
        before += answer


def test_rows_are_no_documents(talks: Artifact, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(EtymonError, match="row-not-a-document") as found:
        encode(talks, tiny_tokenizer, "pretrain")
    assert "kind `files`" in found.value.remedy


def test_documents_are_cut_into_pieces_of_which_every_token_is_predicted_once(
    some_texts: list[str], tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    corpus = corpus_of_documents(some_texts[:40], tmp_path)
    encoded = encode(corpus, tiny_tokenizer, "pretrain", sequence_length=64)
    examples = encoded.examples
    texts = {f"docs/{each['unit']}": each["text"] for each in parquet.read_table(corpus.file("train.parquet")).to_pylist()}
    assert not encoded.dropped
    assert encoded.split > 5
    mark = tiny_tokenizer.convert_tokens_to_ids("<|endoftext|>")
    for document, name in enumerate(encoded.names):
        learned = []
        for example in np.flatnonzero(examples.documents == document).tolist():
            ((ids, supervised),) = sequences(encoded, example)
            assert len(ids) <= 64
            learned += [id_ for id_, known in zip(ids, supervised, strict=True) if known]
        assert learned[-1] == mark
        assert tiny_tokenizer.decode(learned[:-1]) == texts[name]
