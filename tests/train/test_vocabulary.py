"""New tokens: the ones that shorten the corpus most; merged behind the old ones; no old id moves; no text is lost."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from etymon.errors import EtymonError
from etymon.foundation.documents import text_ids
from etymon.foundation.network import load_tokenizer
from etymon.foundation.sources import open_model
from etymon.foundation.vocabulary import NewToken, extend_tokenizer
from etymon.train.spelling import Spelling
from etymon.train.vocabulary import learn_tokens
from tokenizer_styles import POEMS, STYLES, gpt2_style, llama2_style

STRANGE = [
    "",
    " ",
    "  two  spaces ",
    "naïve café — “quoted” 12345",
    "a\n\tb\r\n",
    "秋水共長天一色",
    "👩‍🚀 émoji",
    "<|turn|> as text",
]


@pytest.fixture(scope="module", params=list(STYLES))
def grown(
    request: pytest.FixtureRequest, some_texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, PreTrainedTokenizerFast, list[NewToken], PreTrainedTokenizerBase]:
    """Style, tokenizer, what was learned from poems and docstrings, the extended tokenizer."""
    tokenizer = STYLES[request.param](some_texts)
    new = learn_tokens(tokenizer, POEMS * 10 + some_texts[::3], 80)
    return request.param, tokenizer, new, extend_tokenizer(tokenizer, new, tmp_path_factory.mktemp("grown"))


Grown = tuple[str, PreTrainedTokenizerFast, list[NewToken], PreTrainedTokenizerBase]


def test_no_id_that_is_in_use_moves(grown: Grown) -> None:
    _, tokenizer, new, extended = grown
    old = tokenizer.get_vocab()
    assert {text: extended.get_vocab()[text] for text in old} == old
    assert [token.id for token in new] == list(range(max(old.values()) + 1, max(old.values()) + 1 + len(new)))
    assert extended.convert_ids_to_tokens([token.id for token in new]) == [token.text for token in new]
    assert extended.all_special_ids == tokenizer.all_special_ids


def test_every_text_comes_back_in_fewer_tokens(grown: Grown, some_texts: list[str]) -> None:
    _, tokenizer, new, extended = grown
    assert len(new) == 80
    for text in [*STRANGE, *POEMS, *some_texts]:
        before, after = text_ids(tokenizer, [text])[0], text_ids(extended, [text])[0]
        assert extended.decode(after) == tokenizer.decode(before)
        assert len(after) <= len(before)
    assert sum(map(len, text_ids(extended, POEMS))) < 0.6 * sum(map(len, text_ids(tokenizer, POEMS)))


def test_an_extended_tokenizer_joins_what_the_old_one_cut(grown: Grown, some_texts: list[str]) -> None:
    """The law behind it all: encoding = the old encoding, followed by the new merges in their order."""
    style, tokenizer, new, extended = grown
    texts = [*STRANGE, *POEMS, *some_texts[::4]]
    expected = [followed_by(tokenizer, new, text) for text in texts]
    got = text_ids(extended, texts)
    if style != "llama3":
        assert got == expected
        return
    # Words that are a token as they stand are not merged up from pieces: they can only come out shorter.
    for ours, theirs, text in zip(got, expected, texts, strict=True):
        assert len(ours) <= len(theirs), text


def followed_by(tokenizer: PreTrainedTokenizerFast, new: list[NewToken], text: str) -> list[int]:
    """The old encoding, then the new tokens' merges within each word, the lowest rank first, from the left."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = True
    encoding = backend.encode(text, add_special_tokens=False)
    ids = dict(tokenizer.get_vocab()) | {token.text: token.id for token in new}
    ranks = {(ids[t.merge[0]], ids[t.merge[1]]): (rank, t.id) for rank, t in enumerate(new) if t.merge}
    pieces = list(zip(encoding.ids, encoding.word_ids, strict=True))
    for token in (token for token in new if token.merge is None):
        pieces = replaced(pieces, token.pieces, token.id)
    while True:
        found = [(ranks[a, b], at) for at, ((a, w), (b, v)) in enumerate(pairwise(pieces)) if w == v and (a, b) in ranks]
        if not found:
            return [piece for piece, _ in pieces]
        (_, made), at = min(found)
        pieces[at : at + 2] = [(made, pieces[at][1])]


def replaced(pieces: list[tuple[int, int]], old: tuple[int, ...], made: int) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for piece in pieces:
        out.append(piece)
        if tuple(id for id, _ in out[-len(old) :]) == old:
            out[-len(old) :] = [(made, piece[1])]
    return out


def test_old_pieces_spell_the_new_token(grown: Grown) -> None:
    _, tokenizer, new, _ = grown
    for token in new:
        assert all(piece in tokenizer.get_vocab().values() for piece in token.pieces)
        pieces = tokenizer.convert_ids_to_tokens(list(token.pieces))
        if pieces[0].startswith("<0x"):
            raw = b"".join(bytes([int(p[3:5], 16)]) if p.startswith("<0x") else p.encode() for p in pieces)
            assert raw.decode() == token.text
        elif not any(piece.startswith("<0x") for piece in pieces):
            assert "".join(pieces) == token.text


def test_a_new_token_is_whole_characters_or_part_of_one(grown: Grown) -> None:
    style, _, new, extended = grown
    for token in new:
        text = extended.decode([token.id])
        if "\N{REPLACEMENT CHARACTER}" in text:
            assert style != "llama2"
            assert len(token.text) < 4
            assert not text.strip("\N{REPLACEMENT CHARACTER}")


def test_templates_marks_and_settings_are_kept(grown: Grown) -> None:
    _, tokenizer, _, extended = grown
    assert extended.chat_template == tokenizer.chat_template
    turns = [{"role": "user", "content": "青山 and water"}]
    assert extended.apply_chat_template(turns, tokenize=False) == tokenizer.apply_chat_template(turns, tokenize=False)
    ids = extended.apply_chat_template(turns)["input_ids"]
    assert {extended.bos_token_id, extended.eos_token_id} <= set(ids)
    assert extended("x")["input_ids"] == tokenizer("x")["input_ids"]


def test_without_new_tokens_nothing_changes(grown: Grown, some_texts: list[str], tmp_path: Path) -> None:
    _, tokenizer, _, _ = grown
    texts = [*STRANGE, *POEMS, *some_texts[::4]]
    same = extend_tokenizer(tokenizer, [], tmp_path)
    assert same(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert same.get_vocab() == tokenizer.get_vocab()


def test_the_learner_takes_the_most_frequent_pair_each_time(some_texts: list[str]) -> None:
    """Equal to counting everything anew before each merge."""
    tokenizer = gpt2_style(some_texts)
    texts = POEMS + some_texts[:20]
    assert [token.merge for token in learn_tokens(tokenizer, texts, 60)] == counted_anew(tokenizer, texts, 60)


@settings(max_examples=60)
@given(st.lists(st.text("ab山水 ", max_size=12), min_size=1, max_size=6), st.randoms())
def test_learning_follows_counts_and_not_the_order_of_texts(texts: list[str], random: object) -> None:
    tokenizer = _plain()
    learned = learn_tokens(tokenizer, texts, 20)
    assert [token.merge for token in learned] == counted_anew(tokenizer, texts, 20)
    random.shuffle(texts)  # type: ignore[attr-defined]
    assert learn_tokens(tokenizer, texts, 20) == learned


def _plain() -> PreTrainedTokenizerFast:
    """Bytes and nothing else; a text is one word."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: row for row, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def counted_anew(tokenizer: PreTrainedTokenizerFast, texts: list[str], count: int) -> list[tuple[str, str]]:
    """Byte-pair learning as its definition reads."""
    spelling = Spelling(tokenizer)
    words = [(list(word), frequency) for word, frequency in spelling.words(texts).items()]
    merges = []
    for _ in range(count):
        counts: Counter[tuple[int, int]] = Counter()
        for word, frequency in words:
            for pair in pairwise(word):
                counts[pair] += frequency
        fit = [(-n, pair) for pair, n in counts.items() if n >= 2 and spelling.allows(pair)]
        if not fit:
            break
        pair = min(fit)[1]
        token = spelling.add(pair)
        assert token.merge
        merges.append(token.merge)
        for word, _ in words:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == pair:
                    word[at : at + 2] = [token.id]
                at += 1
    return merges


def test_a_corpus_that_does_not_repeat_gives_fewer_tokens(some_texts: list[str]) -> None:
    assert learn_tokens(gpt2_style(some_texts), [], 10) == []
    assert 0 < len(learn_tokens(gpt2_style(some_texts), ["zqxj zqxj"], 10)) <= 3


def test_sentencepiece_learns_characters_first_and_stays_within_words(some_texts: list[str]) -> None:
    new = learn_tokens(llama2_style(some_texts), [*POEMS, "of the of the 1234 1234 1234 in-the in-the"] * 3, 60)
    characters = [token for token in new if token.merge is None]
    assert {"山", "水", "青"} <= {token.text for token in characters}
    assert all(len(token.pieces) == 3 for token in characters)
    assert "青山" in {token.text for token in new}
    for token in new:
        assert "▁" not in token.text.lstrip("▁")
        assert not any(char.isdigit() for char in token.text)
        assert not ("," in token.text or "，" in token.text) or len(token.text) == 1


def test_a_character_that_saves_more_tokens_goes_before_a_more_frequent_pair(some_texts: list[str]) -> None:
    """As bytes a Chinese character takes three tokens: three of them save six, five pairs save five."""
    [first] = learn_tokens(llama2_style(some_texts), ["qz qz qz qz qz 山 山 山"], 1)
    assert first.text == "山"


@pytest.mark.parametrize("style", ["gpt2", "llama3", "qwen"])
def test_the_learner_sees_the_tokens_that_training_feeds(style: str, some_texts: list[str]) -> None:
    """Control tokens that a text mentions are characters there, too."""
    tokenizer, texts = STYLES[style](some_texts), [*STRANGE, *POEMS, *some_texts]
    seen: Counter[int] = Counter()
    for word, frequency in Spelling(tokenizer).words(texts).items():
        seen.update(dict.fromkeys(word, 0) | {id: frequency * word.count(id) for id in word})
    assert seen == Counter(id for ids in text_ids(tokenizer, texts) for id in ids)


def test_a_run_without_a_cut_is_learned_in_reasonable_time(some_texts: list[str]) -> None:
    assert len(learn_tokens(gpt2_style(some_texts), ["abcdefghij" * 20_000, "山水" * 20_000], 50)) > 5


KINDS = {"Unigram": models.Unigram([("<unk>", 0.0)], 0), "WordPiece": models.WordPiece({"?": 0}, unk_token="?")}


@pytest.mark.parametrize("kind", list(KINDS))
def test_other_kinds_of_tokenizers_are_refused_by_name(kind: str) -> None:
    with pytest.raises(EtymonError, match=kind):
        learn_tokens(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(KINDS[kind])), ["a"], 1)


def test_marked_pieces_are_refused() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(end_of_word_suffix="</w>")))
    with pytest.raises(EtymonError, match="end_of_word_suffix"):
        learn_tokens(tokenizer, ["a"], 1)


def test_transformers_reads_the_folder_as_any_other(tiny_llama: Path, tmp_path: Path) -> None:
    """As AutoTokenizer and load_tokenizer do, with old files of the vocabulary out of the way."""
    model = open_model(str(tiny_llama))
    tokenizer = load_tokenizer(model)
    new = learn_tokens(tokenizer, POEMS, 30)
    target = tmp_path / "grown"
    target.mkdir()
    for name in ("config.json", "model.safetensors"):
        (target / name).write_bytes((tiny_llama / name).read_bytes())
    (target / "merges.txt").write_text("a b\n")
    (target / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))
    extended = extend_tokenizer(tokenizer, new, target)
    assert not {"merges.txt", "vocab.json"} & {path.name for path in target.iterdir()}
    for read in (AutoTokenizer.from_pretrained(target), load_tokenizer(open_model(str(target)))):
        assert text_ids(read, POEMS) == text_ids(extended, POEMS)
        assert read.get_vocab() == extended.get_vocab()
        assert read.chat_template == tokenizer.chat_template
        assert len(read) == len(tokenizer) + len(new)


@pytest.mark.parametrize("begins", [True, False])
def test_a_folder_of_transformers_own_llama_class_keeps_its_ids(some_texts: list[str], tmp_path: Path, begins: bool) -> None:
    """Transformers builds LlamaTokenizer anew from vocabulary and merges; what is written is what it built."""
    source, texts = tmp_path / "source", [*STRANGE, *POEMS, *some_texts[::4]]
    fast = llama2_style(some_texts)
    if begins:
        fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|turn|> $A", special_tokens=[("<|turn|>", fast.bos_token_id)]
        )
    fast.save_pretrained(source)
    config = json.loads((source / "tokenizer_config.json").read_text()) | {"tokenizer_class": "LlamaTokenizer"}
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    (source / "config.json").write_text(json.dumps({"model_type": "llama"}))
    tokenizer = AutoTokenizer.from_pretrained(source)
    assert type(tokenizer).__name__ == "LlamaTokenizer"
    assert extend_tokenizer(tokenizer, [], tmp_path / "same")(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    new = learn_tokens(tokenizer, POEMS, 40)
    extended = extend_tokenizer(tokenizer, new, tmp_path / "grown")
    written = json.loads((tmp_path / "grown" / "tokenizer_config.json").read_text())
    assert (written["add_bos_token"], written["add_eos_token"]) == (begins, False)
    assert (extended("青山")["input_ids"][0] == tokenizer.bos_token_id) is begins
    assert text_ids(extended, texts) == [followed_by(tokenizer, new, text) for text in texts]
    for text in texts:
        assert extended.decode(text_ids(extended, [text])[0]) == tokenizer.decode(text_ids(tokenizer, [text])[0])
