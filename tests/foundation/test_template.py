"""Answers found in conversations, in templates of every family."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from chat_templates import BEFORE, ENDS, TEMPLATES, tokenizer_with
from etymon.errors import EtymonError
from etymon.foundation.template import TODAY, TemplateFailure, answer_spans, render
from etymon.text.rows import Message


def conversation(*contents: str, system: str | None = None) -> list[Message]:
    turns = [Message("assistant" if i % 2 else "user", content) for i, content in enumerate(contents)]
    return turns if system is None else [Message("system", system), *turns]


@pytest.fixture(scope="module", params=TEMPLATES)
def family(request: pytest.FixtureRequest) -> tuple[str, PreTrainedTokenizerBase]:
    return request.param, tokenizer_with(TEMPLATES[request.param])


THREE = conversation("Two and two?", "Four.", "And three?", "Five,\n\nI think.", "Sure?", "No: six.")


def test_every_answer_is_its_content_and_its_end_mark(family: tuple[str, PreTrainedTokenizerBase]) -> None:
    name, tokenizer = family
    text, spans, unsupervisable, unended = answer_spans(tokenizer, THREE)
    assert (unsupervisable, unended) == (0, 0)
    expected = [BEFORE.get(name, "") + message.content + ENDS[name] for message in THREE[1::2]]
    if name == "qwen3":
        expected[-1] = "<think>\n\n</think>\n\n" + expected[-1]  # with which this template begins the last answer
    assert [text[begin:end] for begin, end in spans] == expected
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    for (begin, end), answer in zip(spans, expected, strict=True):
        inside = [
            i for i, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True) if begin <= a and b <= end
        ]
        assert tokenizer.decode(inside) == answer


def test_each_answer_begins_where_its_prompt_ends(family: tuple[str, PreTrainedTokenizerBase]) -> None:
    _, tokenizer = family
    text, spans, _, _ = answer_spans(tokenizer, THREE)
    for turn, (begin, _) in zip((1, 3, 5), spans, strict=True):
        assert render(tokenizer, THREE[:turn], add_generation_prompt=True) == text[:begin]


def test_the_last_answer_alone(family: tuple[str, PreTrainedTokenizerBase]) -> None:
    _, tokenizer = family
    assert answer_spans(tokenizer, THREE, last_only=True).spans == answer_spans(tokenizer, THREE).spans[-1:]


@given(
    st.lists(
        st.sampled_from(["", " a ", "think", "a\n", "a", "<|im_end|>", "</s>", "b<|eot_id|>", "日本"]), min_size=2, max_size=6
    )
)
@settings(max_examples=60)
def test_any_contents_are_found(contents: list[str]) -> None:
    """Also empty ones, those that repeat, and those in which somebody wrote a control token."""
    contents = contents[: len(contents) // 2 * 2]
    for name in ("chatml", "llama-3", "gemma", "mistral", "phi-3"):
        text, spans, unsupervisable, unended = answer_spans(tokenizer_of(name), conversation(*contents))
        assert (unsupervisable, unended) == (0, 0)
        trimmed = [content.strip() if name in ("llama-3", "gemma") else content for content in contents[1::2]]
        assert [text[a:b] for a, b in spans] == [BEFORE.get(name, "") + content + ENDS[name] for content in trimmed]


_TOKENIZERS: dict[str, PreTrainedTokenizerBase] = {}


def tokenizer_of(name: str) -> PreTrainedTokenizerBase:
    if name not in _TOKENIZERS:
        _TOKENIZERS[name] = tokenizer_with(TEMPLATES[name])
    return _TOKENIZERS[name]


def test_thinking_is_learned_where_the_template_keeps_it() -> None:
    thinking = "<think>\nhm\n</think>\n\nYes."
    text, spans, unsupervisable, unended = answer_spans(
        tokenizer_of("qwen3"), conversation("So?", thinking, "Sure?", thinking)
    )
    assert [text[a:b] for a, b in spans] == ["Yes.<|im_end|>", thinking + "<|im_end|>"]
    assert (unsupervisable, unended) == (0, 0)


def test_system_turns_reach_the_text_or_are_refused() -> None:
    row = conversation("Hi", "Ho", system="Be brief.")
    assert "Be brief." in answer_spans(tokenizer_of("llama-3"), row).text
    with pytest.raises(TemplateFailure, match="No system turns here") as caught:
        answer_spans(tokenizer_of("gemma"), row)
    assert caught.value.reason == "No system turns here"


def test_a_broken_template_is_a_template_failure() -> None:
    for template in ("{{ messages[0].content + 3 }}", "{% if %}", "{{ 1 // 0 }}", "{{ messages[0].nothing.at.all }}"):
        with pytest.raises(TemplateFailure):
            render(tokenizer_with(template), THREE, add_generation_prompt=False)


def test_a_model_without_a_template_says_so() -> None:
    tokenizer = tokenizer_with("x")
    tokenizer.chat_template = None
    with pytest.raises(EtymonError, match="no chat template") as caught:
        render(tokenizer, THREE, add_generation_prompt=False)
    assert not isinstance(caught.value, TemplateFailure)


def test_the_day_is_always_the_same() -> None:
    assert "Today: 26 Jul 2024\n" in render(tokenizer_of("llama-3"), THREE, add_generation_prompt=False)
    codes = "%d %b %Y %B %A %Y-%m-%d %y %H:%M"
    dated = tokenizer_with(f"  \n{{% macro day() %}}{{{{ strftime_now('{codes}') }}}}{{% endmacro %}}\n[{{{{ day() }}}}]")
    plain = tokenizer_with("  \n{% macro day() %}x{% endmacro %}\n[{{ day() }}]")
    text = render(dated, THREE, add_generation_prompt=False)
    assert text == render(plain, THREE, add_generation_prompt=False).replace("x", TODAY.strftime(codes))
    assert str(datetime.now().year) not in text or datetime.now().year == TODAY.year


def test_an_answer_that_nothing_ends_is_told() -> None:
    open_ended = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    text, spans, unsupervisable, unended = answer_spans(tokenizer_with(open_ended), THREE)
    assert (unsupervisable, unended) == (0, 3)
    assert [text[a:b] for a, b in spans] == [f"assistant: {message.content}" for message in THREE[1::2]]


def test_the_next_turns_first_mark_ends_no_answer() -> None:
    """Earlier answers run into the next header, a control token; only the last one is ended, by EOS."""
    headers = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{{ '' if add_generation_prompt else eos_token }}"
    )
    headers += "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    text, spans, _, unended = answer_spans(tokenizer_with(headers), THREE)
    assert unended == 2
    assert [text[a:b] for a, b in spans] == ["Four.", "Five,\n\nI think.", "No: six.</s>"]


def test_a_prompt_that_the_answer_changes_is_not_guessed() -> None:
    counting = "{{ messages | length }} turns: {% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    _, spans, unsupervisable, unended = answer_spans(tokenizer_with(counting), THREE)
    assert (spans, unsupervisable, unended) == ([], 3, 0)


def test_an_answer_without_a_question_is_not_guessed() -> None:
    row = [Message("assistant", "Welcome."), *THREE]
    result = answer_spans(tokenizer_of("chatml"), row)
    assert (len(result.spans), result.unsupervisable) == (3, 1)


def test_added_control_tokens_are_known_at_once() -> None:
    tokenizer = tokenizer_with("{% for m in messages %}{{ m.role }}: {{ m.content }}<|fin|>\n{% endfor %}")
    assert answer_spans(tokenizer, THREE).unended == 3
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|fin|>"]})
    assert answer_spans(tokenizer, THREE).unended == 0
