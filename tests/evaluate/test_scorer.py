"""Scores from packed trees equal those of one plain forward pass a request."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Gemma2Config, MistralConfig, Phi3Config

from etymon.errors import EtymonError
from etymon.evaluate import scorer as scorer_module
from etymon.evaluate.budget import ROW_TOKENS, ScoringBudget, scoring_budget, token_costs
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


def assert_equal_scores(network, requests, longest, memory_mb=8.0):
    prepare_packed(network)
    scores, usage = SharedPrefixScorer(network, longest, memory_mb=memory_mb).score(requests)
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


@pytest.fixture(scope="module")
def gemma():
    torch.manual_seed(0)
    config = Gemma2Config(**SIZES, sliding_window=8, attn_logit_softcapping=2.0, final_logit_softcapping=1.0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()


@pytest.mark.parametrize("family", ["mistral", "gemma"])  # sliding windows; soft caps too
@given(
    requests=st.lists(request, min_size=1, max_size=12),
    longest=st.integers(8, 40),
    row_tokens=st.integers(1, 90),
    held_tokens=st.integers(0, 40),
    head_positions=st.integers(1, 9),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scores_equal_plain_ones_whatever_the_cut(
    request, family, requests, longest, row_tokens, held_tokens, head_positions
):
    network = request.getfixturevalue(family)
    fed = max(len(each.fed(longest)) for each in requests)
    budget = ScoringBudget(row_tokens, max(held_tokens, fed - row_tokens), head_positions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer_module, "scoring_budget", lambda *_: budget)
        assert_equal_scores(network, requests, longest)


def test_every_token_is_fed_as_counted_and_no_row_is_longer_than_its_budget(mistral):
    """What the network is handed, against what the usage says, from the least memory that suffices upwards."""
    header = tuple(i % 6 for i in range(40))
    requests = [TokenRequest((*header[: 20 + i], i), (i, 1, 2)) for i in range(20)]
    fed: list[int] = []
    hook = mistral.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        for memory_mb in (0.2, 0.25, 0.3, 0.5, 8):
            prepare_packed(mistral)
            fed.clear()
            budget = scoring_budget(mistral, memory_mb, 42)
            _, usage = SharedPrefixScorer(mistral, 64, memory_mb=memory_mb).score(requests)
            assert sum(fed) == usage.tokens_fed
            assert max(fed) <= budget.row_tokens
    finally:
        hook.remove()
    assert budget.row_tokens == ROW_TOKENS
    assert usage.tokens_repeated == 0


def test_too_little_memory_is_refused_with_what_would_do(mistral):
    prepare_packed(mistral)
    requests = [TokenRequest((1,) * 40, (2, 3))]
    with pytest.raises(EtymonError, match="does not hold a request of 41 tokens") as failure:
        SharedPrefixScorer(mistral, 64, memory_mb=0.01).score(requests)
    assert "--memory 2 or more" in str(failure.value.remedy)
    SharedPrefixScorer(mistral, 64, memory_mb=2).score(requests)


@given(memory_mb=st.floats(0.001, 4), longest=st.integers(1, 200))
def test_a_budget_holds_by_its_own_costs(mistral, memory_mb, longest):
    costs = token_costs(mistral, longest)
    try:
        budget = scoring_budget(mistral, memory_mb, longest)
    except EtymonError:
        return
    assert budget.row_tokens + budget.held_tokens >= longest
    assert (
        budget.row_tokens * costs.row_token
        + budget.held_tokens * costs.held_token
        + budget.head_positions * costs.head_position
        <= memory_mb * 1e6
    )


def test_half_precision_is_close(mistral):
    half = copy.deepcopy(mistral).bfloat16()
    requests = [TokenRequest((1, 2, 3, 4, a), (a, b)) for a in range(4) for b in range(4)]
    exact, _ = SharedPrefixScorer(prepare_packed(mistral), 64).score(requests)
    near, _ = SharedPrefixScorer(prepare_packed(half), 64).score(requests)
    assert [each.logprob for each in near] == pytest.approx([each.logprob for each in exact], abs=0.1)


def test_longrope_beyond_its_threshold_is_refused():
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4, "factor": 4.0}
    config = Phi3Config(
        **SIZES, rope_parameters={**rope, "original_max_position_embeddings": 16}, original_max_position_embeddings=16
    )
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    assert_equal_scores(network, [TokenRequest((1, 2, 3), (4, 5))], 64)
    with pytest.raises(EtymonError, match="longer than 16 tokens"):
        SharedPrefixScorer(prepare_packed(network), 64).score([TokenRequest((1,) * 20, (2,))])


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


def test_progress_ends_at_all_tokens(mistral, monkeypatch):
    heard = []
    requests = [TokenRequest((a,) * 9, (b,)) for a in range(1, 6) for b in range(3)]
    monkeypatch.setattr(scorer_module, "scoring_budget", lambda *_: ScoringBudget(18, 18, 4))
    SharedPrefixScorer(prepare_packed(mistral), 64).score(requests, lambda *each: heard.append(each))
    assert heard[:2] == [(0, 45), (18, 45)]
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
