"""Scores from packed trees equal those of one plain forward pass a request."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Gemma2Config, MistralConfig

from etymon.errors import EtymonError
from etymon.evaluate import scorer as scorer_module
from etymon.evaluate.scorer import SharedPrefixScorer
from etymon.evaluate.tree import TokenRequest
from etymon.foundation.head import prepare_packed
from etymon.foundation.segments import ATTENTION

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip


def plain_score(network, request, longest):
    """The textbook way: one request, all logits, log-softmax."""
    fed = torch.tensor([request.fed(longest)])
    with torch.no_grad():
        logits_TV = network(fed, use_cache=False).logits[0].float()
    target_C = torch.tensor(request.continuation)
    logprob_CV = logits_TV.log_softmax(-1)[-len(target_C) :]
    greedy = bool((logprob_CV.argmax(-1) == target_C).all())
    return float(logprob_CV.gather(1, target_C[:, None]).sum()), greedy


def assert_equal_scores(network, requests, longest, row_tokens=256):
    prepare_packed(network)
    scores, usage = SharedPrefixScorer(network, longest, row_tokens=row_tokens).score(requests)
    network.set_attn_implementation("eager")
    for request, score in zip(requests, scores, strict=True):
        logprob, greedy = plain_score(network, request, longest)
        assert score.logprob == pytest.approx(logprob, abs=1e-4)
        assert score.is_greedy == greedy
        assert score.tokens == len(request.continuation)
    network.set_attn_implementation(ATTENTION)
    return usage


@pytest.fixture(scope="module")
def mistral():
    torch.manual_seed(0)
    config = MistralConfig(**SIZES, sliding_window=8)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()


token = st.integers(0, 5)
request = st.builds(
    TokenRequest,
    st.lists(token, min_size=1, max_size=30).map(tuple),
    st.lists(token, min_size=1, max_size=8).map(tuple),
)


@given(st.lists(request, min_size=1, max_size=12), st.integers(8, 40), st.integers(1, 90))
@settings(max_examples=40)
def test_scores_equal_plain_ones_with_a_sliding_window(mistral, requests, longest, row_tokens):
    assert_equal_scores(mistral, requests, longest, row_tokens)


def test_scores_equal_plain_ones_with_soft_caps():
    torch.manual_seed(0)
    config = Gemma2Config(**SIZES, sliding_window=8, attn_logit_softcapping=2.0, final_logit_softcapping=1.0)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    header = tuple(range(1, 20))
    requests = [TokenRequest((*header, a), (b, 7)) for a in (20, 21, 22) for b in (1, 2)]
    assert_equal_scores(network, requests, 64)


def test_greedy_answers_are_recognised(mistral):
    mistral.set_attn_implementation("eager")
    context = (1, 2, 3)
    ids = list(context)
    with torch.no_grad():
        for _ in range(4):
            ids.append(int(mistral(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    prepare_packed(mistral)
    right, wrong = tuple(ids[3:]), (*ids[3:6], (ids[6] + 1) % 64)
    scores, _ = SharedPrefixScorer(mistral, 64).score([TokenRequest(context, right), TokenRequest(context, wrong)])
    assert [score.is_greedy for score in scores] == [True, False]


def test_usage_counts_what_sharing_saved(mistral):
    header = tuple(i % 6 for i in range(20))
    requests = [TokenRequest((*header, 40 + i), (choice,)) for i in range(3) for choice in range(4)]
    usage = assert_equal_scores(mistral, requests, 64)
    assert usage.requests == 12
    assert usage.tokens_asked == 12 * 21
    assert usage.tokens_fed == 20 + 3  # the header once; a last token is never fed
    assert usage.tokens_saved == usage.tokens_asked - usage.tokens_fed
    assert usage.tokens_repeated == usage.truncated == 0


def test_truncated_requests_are_counted(mistral):
    usage = assert_equal_scores(mistral, [TokenRequest((1,) * 30, (2, 3)), TokenRequest((1,) * 15, (2, 3))], 16)
    assert usage.truncated == 1


def test_the_head_runs_in_chunks(mistral, monkeypatch):
    monkeypatch.setattr(scorer_module, "HEAD_POSITIONS", 3)
    assert_equal_scores(mistral, [TokenRequest((1, 2), tuple(range(3, 15))), TokenRequest((1, 2, 3, 4), (9,))], 64)


def test_progress_ends_at_all_tokens(mistral):
    heard = []
    requests = [TokenRequest((a,) * 9, (b,)) for a in range(1, 6) for b in range(3)]
    SharedPrefixScorer(prepare_packed(mistral), 64, row_tokens=18).score(requests, lambda *each: heard.append(each))
    assert heard[0] == (0, 45)
    assert heard[-1] == (45, 45)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


@pytest.mark.parametrize(
    ("context", "continuation", "said"),
    [((), (1,), "empty context"), ((1,), (), "empty continuation"), ((1,), (1,) * 9, "9 tokens")],
)
def test_requests_that_cannot_be_scored_are_refused(mistral, context, continuation, said):
    with pytest.raises(EtymonError, match=said):
        SharedPrefixScorer(mistral, 8).score([TokenRequest(context, continuation)])


def test_nothing_to_score_is_no_error(mistral):
    assert SharedPrefixScorer(mistral, 8).score([])[0] == []
