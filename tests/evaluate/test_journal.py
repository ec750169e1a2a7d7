"""A killed evaluation goes on where it was, and ends with the same bytes."""

import json
import math
import shutil

import pytest
from lm_eval.api.instance import Instance

from etymon.evaluate import journal as journals
from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.resume import ResumableLM
from etymon.evaluate.journal import Journal, resumable
from etymon.evaluate.plan import plan_task
from etymon.evaluate.scorer import SharedPrefixScorer
from etymon.evaluate.stage import evaluate_stage
from etymon.evaluate.tree import TokenRequest
from etymon.store import Store


def requests(count: int) -> list[TokenRequest]:
    """Questions of three common beginnings, two choices each."""
    return [
        TokenRequest(tuple(range(5 + number % 3, 60 + number % 3)) + (100 + number,), (200 + choice, 7))
        for number in range(count)
        for choice in range(2)
    ]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(journals, "PART_TOKENS", 75)


@pytest.fixture
def asked(monkeypatch):
    """How many requests the scorer itself was asked, call by call."""
    calls = []
    score = SharedPrefixScorer.score

    def counted(self, given, *more):
        calls.append(len(given))
        return score(self, given, *more)

    monkeypatch.setattr(SharedPrefixScorer, "score", counted)
    return calls


def test_answers_are_kept_to_the_last_bit_and_in_order(examinee, tmp_path, small_parts):
    whole, usage = examinee.scorer.score(requests(20))
    with Journal(tmp_path / "answers") as journal:
        ours, resumed = resumable(examinee, journal).scorer.score(requests(20))
    assert [score.logprob for score in ours] == pytest.approx([score.logprob for score in whole], abs=1e-4)
    assert [score.tokens for score in ours] == [score.tokens for score in whole]
    assert (resumed.requests, resumed.tokens_asked, resumed.truncated) == (
        usage.requests,
        usage.tokens_asked,
        usage.truncated,
    )
    with Journal(tmp_path / "answers") as journal:
        again, spent = resumable(examinee, journal).scorer.score(requests(20))
    assert again == ours
    assert (journal.known, journal.cut, spent.tokens_fed) == (40, 0, 0)


def test_only_parts_that_are_missing_are_asked(examinee, tmp_path, small_parts, asked):
    path = tmp_path / "answers"
    with Journal(path) as journal:
        whole, _ = resumable(examinee, journal).scorer.score(requests(20))
    parts = len(asked)
    assert parts > 3
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: asked[0]]) + lines[asked[0]][:20])
    before = asked.copy()
    asked.clear()
    told = []
    with Journal(path) as journal:
        assert (journal.known, journal.cut) == (before[0], 20)
        again, _ = resumable(examinee, journal).scorer.score(requests(20), lambda done, total: told.append((done, total)))
    assert asked == before[1:]
    assert [(score.logprob, score.is_greedy) for score in again] == [(score.logprob, score.is_greedy) for score in whole]
    assert told[0][0] > 0
    assert told[-1][0] == told[-1][1]


def test_a_damaged_line_ends_the_journal(tmp_path):
    path = tmp_path / "answers"
    with Journal(path) as journal:
        journal.add({"a": [-1.5], "b": [math.pi], "c": ["ein\nText \ud800"]})
    content = path.read_bytes()
    with Journal(path) as journal:
        assert (journal["b"], journal["c"]) == ([math.pi], ["ein\nText \ud800"])
    path.write_bytes(content.replace(b"3.14", b"3.15"))
    with Journal(path) as journal:
        assert ("a" in journal, "b" in journal, "c" in journal) == (True, False, False)
        assert journal.cut > 0
    assert path.read_bytes() == content.splitlines(keepends=True)[0]


def texts(count: int) -> list[Instance]:
    settings = {"until": ["\n"], "max_gen_toks": 4}
    return [
        Instance("generate_until", {}, (f"The number {number % 4} is", dict(settings)), 0, ("t", number, 1))
        for number in range(count)
    ]


def test_generated_texts_are_noted_when_they_end(tiny_model, tmp_path, monkeypatch):
    examinee = open_examinee(tiny_model, "cpu")
    plain = SharedPrefixLM(examinee, lambda *_: None)
    expected = plain.generate_until(texts(6))
    with Journal(tmp_path / "answers") as journal:
        first = ResumableLM(resumable(examinee, journal), lambda *_: None)
        assert first.generate_until(texts(3)) == expected[:3]
    given = []
    generate = SharedPrefixLM.generate_until
    monkeypatch.setattr(
        SharedPrefixLM, "generate_until", lambda self, r, q=True: (given.append(len(r)), generate(self, r, q))[1]
    )
    with Journal(tmp_path / "answers") as journal:
        assert journal.known == 3
        later = ResumableLM(resumable(examinee, journal), lambda *_: None)
        assert later.generate_until(texts(6)) == expected
    assert given == [3]
    assert later.usages[-1].requests == 3
    assert {place: score.tokens for place, score in later.scores.items()} == {
        place: score.tokens for place, score in plain.scores.items()
    }


class Killed(BaseException):
    """As if the process had ended."""


def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bytes(tiny_model, tmp_path, small_parts, monkeypatch, asked):
    monkeypatch.setattr(journals, "PART_TOKENS", 8_000)
    plan = plan_task("mmlu_dev")

    def evaluate(store):
        return store.obtain(evaluate_stage, plan.inputs(tiny_model), plan.meaning, plan.execution)[0]

    undisturbed = evaluate(Store(tmp_path / "a"))
    parts = len(asked)
    store = Store(tmp_path / "b")
    score = SharedPrefixScorer.score

    def dying(self, *given):
        if len(asked) == parts + 2:
            raise Killed
        return score(self, *given)

    monkeypatch.setattr(SharedPrefixScorer, "score", dying)
    with pytest.raises(Killed):
        evaluate(store)
    (folder,) = store.folders("scratch")
    with (folder / "answers.jsonl").open("ab") as answers:
        answers.write(b"torn")
    monkeypatch.setattr(SharedPrefixScorer, "score", score)
    asked.clear()
    resumed = evaluate(store)
    assert len(asked) == parts - 2
    assert resumed.digest == undisturbed.digest
    assert resumed.facts["answers_resumed"] > 0
    assert resumed.facts["journal_bytes_cut"] == 4
    assert store.folders("scratch") == []
    assert evaluate_stage.replay(resumed, plan.inputs(tiny_model)) == []


def test_a_replay_names_what_came_out_otherwise(tiny_model, tmp_path):
    store = Store(tmp_path)
    plan = plan_task("mmlu_dev")
    made, _ = store.obtain(evaluate_stage, plan.inputs(tiny_model), plan.meaning, plan.execution)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["files"]["task.json"]["sha256"] = "0" * 64
    copy = tmp_path / "other" / "artifacts" / made.folder.name
    shutil.copytree(made.folder, copy)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    from etymon.store import load_artifact

    assert evaluate_stage.replay(load_artifact(copy), plan.inputs(tiny_model)) == ["task.json"]
