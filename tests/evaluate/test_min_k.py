"""Min-K% and Min-K%++ against the papers' definitions, computed by Transformers one text at a time."""

import numpy as np
import pytest
import torch

from etymon.evaluate import min_k
from etymon.evaluate.min_k import measure_familiarity
from etymon.foundation.documents import document_marks
from etymon.foundation.network import load_network


def quiet(doing: str, done: int, total: int) -> None:
    assert done <= total


def by_definition(examinee, model, text):
    start, _ = document_marks(examinee.tokenizer)
    ids = torch.tensor([[start, *examinee.tokenizer(text, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        log = load_network(model, dtype=torch.float32, device="cpu")(ids).logits[0, :-1].double().log_softmax(-1)
    own = log.gather(1, ids[0, 1:, None])[:, 0].numpy()
    probability = log.exp()
    mean = (probability * log).sum(-1)
    spread = ((probability * log**2).sum(-1) - mean**2).sqrt()
    standard = (own - mean.numpy()) / spread.numpy()
    lowest = max(1, int(len(own) * 0.2))
    return own.sum(), np.sort(own)[:lowest].mean(), np.sort(standard)[:lowest].mean()


def test_every_text_has_the_figures_of_the_papers(examinee, tiny_model, some_texts, monkeypatch):
    texts = [*some_texts[:9], "a"]
    expected = [by_definition(examinee, tiny_model, text) for text in texts]
    monkeypatch.setattr(min_k, "_LOGITS_AT_ONCE", 7 * 512)  # the head's chunks cut through texts
    found = measure_familiarity(examinee, texts, quiet)
    for each, figures in zip(found, expected, strict=True):
        assert (each.nats, each.min_k, each.min_k_plus_plus) == pytest.approx(figures, abs=1e-3)
        assert not each.cut


def test_a_text_beyond_the_context_is_cut_and_says_so_and_an_empty_one_has_no_figures(examinee, some_texts):
    long, empty = measure_familiarity(examinee, [" ".join(some_texts), ""], quiet)
    assert long.cut
    assert long.tokens == examinee.max_length
    assert empty is None
