"""Result files of lm-eval become evaluations that are marked as imported; what they hold is checked first."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lm_eval import evaluator
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

from etymon.board.stage import read_standings
from etymon.commands.board import workspace_board
from etymon.commands.clean import leftovers
from etymon.commands.evaluate import import_results
from etymon.errors import EtymonError
from etymon.evaluate.harness.imported import find_results
from etymon.evaluate.harness.tasks import load_task_file
from etymon.evaluate.plan import plan_task
from etymon.store import Store

TASK = (
    "task: numbers\ndataset_path: json\ndataset_kwargs: {data_files: {test: numbers.jsonl}}\ntest_split: test\n"
    "fewshot_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\n"
    "doc_to_target: label\nmetric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n"
    "- {metric: acc_norm, aggregation: mean, higher_is_better: true}\n"
)


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    rows = [{"question": f"After {n} comes", "choices": [str(n + 1), "a dog"], "label": n % 2} for n in range(8)]
    (folder / "numbers.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (folder / "numbers.yaml").write_text(TASK, "utf-8")
    return folder / "numbers.yaml"


@pytest.fixture(scope="module")
def measured(task_file: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that lets lm-eval itself evaluate a tiny model and write its files."""
    network = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    lm = HFLM(network, tokenizer=AutoTokenizer.from_pretrained(tiny_llama), batch_size=4)

    def measure(**given) -> Path:
        folder = tmp_path_factory.mktemp("results")
        task = load_task_file(task_file).tasks["numbers"]
        task.set_config("num_fewshot", None)
        tracker = EvaluationTracker(output_path=str(folder))
        manager = TaskManager(include_defaults=False)
        results = evaluator.simple_evaluate(
            lm, tasks=[task], task_manager=manager, bootstrap_iters=0, log_samples=True, evaluation_tracker=tracker, **given
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for name in samples:
            tracker.save_results_samples(name, samples[name])
        return folder

    return measure


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def imported(store: Store, name: str = "other"):
    (made,) = [each for each in store.artifacts() if each.facts.get("model") == name]
    return made


def files_of(folder: Path) -> tuple[Path, Path]:
    (results,), (samples,) = folder.rglob("results_*.json"), folder.rglob("samples_*.jsonl")
    return results, samples


def test_scores_are_lm_evals_and_marked(store: Store, measured, task_file: Path):
    folder = measured()
    lines = import_results(folder, "other", store)
    said = json.loads(files_of(folder)[0].read_text())["results"]["numbers"]
    made = imported(store)
    assert [line.stage for line in lines] == ["numbers of other, imported"]
    assert made.facts["metrics"]["acc"]["score"] == pytest.approx(said["acc,none"])
    assert made.facts["metrics"]["acc_norm"]["score"] == pytest.approx(said["acc_norm,none"])
    assert made.facts["imported"]
    assert made.facts["identity"] != plan_task(str(task_file)).meaning.identity
    standings = read_standings(workspace_board(store).folder)
    assert [row.name for row in standings.rows] == ["other (imported)"]
    assert any("measured elsewhere" in note for note in standings.columns[0].notes)
    assert leftovers(store) == []


def test_the_way_of_asking_is_in_the_identity(store: Store, measured):
    ways = [{}, {"num_fewshot": 2}, {"system_instruction": "Be brief."}, {"apply_chat_template": True}]
    for number, way in enumerate(ways):
        import_results(measured(**way), f"way-{number}", store)
    import_results(measured(), "again", store)
    found = [imported(store, f"way-{number}").facts["identity"] for number in range(len(ways))]
    assert len(set(found)) == len(ways)
    assert imported(store, "again").facts["identity"] == found[0]


def change_results(folder: Path, change: Callable[[dict], None]) -> None:
    path = files_of(folder)[0]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_sample(folder: Path, change: Callable[[list[dict]], object]) -> None:
    path = files_of(folder)[1]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


HOSTILE = {
    "another sum": (
        lambda f: change_results(f, lambda c: c["results"]["numbers"].update({"acc,none": 0.99})),
        "gives 0.99 for acc",
    ),
    "an item less": (lambda f: change_sample(f, lambda rows: rows.pop()), "has 7 items"),
    "an item twice": (lambda f: change_sample(f, lambda rows: rows.__setitem__(1, rows[0])), "twice"),
    "another verdict": (lambda f: change_sample(f, lambda rows: rows[2].update(acc=1.0 - rows[2]["acc"])), "acc of numbers"),
    "NaN": (lambda f: change_sample(f, lambda rows: rows[0].update(acc=float("nan"))), "not finite"),
    "a number of 400 digits": (lambda f: change_sample(f, lambda rows: rows[0].update(acc=10**400)), "not finite"),
    "infinite log-probability": (
        lambda f: change_sample(f, lambda rows: rows[0].update(resps=[[["inf", "True"]], [["-1", "False"]]])),
        "no finite",
    ),
    "negative number": (lambda f: change_sample(f, lambda rows: rows[0].update(doc_id=-1)), "`doc_id`"),
    "no hashes": (lambda f: change_sample(f, lambda rows: rows[0].pop("doc_hash")), "`doc_hash`"),
    "no JSON": (lambda f: files_of(f)[1].write_text("{\n"), "line 1 is not JSON"),
    "deep JSON": (lambda f: files_of(f)[1].write_text("[" * 100_000 + "\n"), "line 1"),
    "no version": (lambda f: change_results(f, lambda c: c.pop("lm_eval_version")), "lm_eval_version"),
    "results are a list": (lambda f: files_of(f)[0].write_text("[]"), "no result of lm-eval"),
    "no samples": (lambda f: files_of(f)[1].unlink(), "no samples beside"),
    "no results": (lambda f: files_of(f)[0].unlink(), "holds no results"),
    "a path as a task": (
        lambda f: change_results(
            f, lambda c: [c[key].update({"../x": c[key].pop("numbers")}) for key in ("results", "n-samples")]
        ),
        "no samples beside",
    ),
    "no size": (lambda f: change_results(f, lambda c: c["config"].pop("model_num_parameters")), "how many parameters"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_hold_together_is_refused(store: Store, measured, case: str):
    folder = measured()
    change, said = HOSTILE[case]
    change(folder)
    with pytest.raises(EtymonError) as caught:
        import_results(folder, "other", store)
    assert said in caught.value.problem
    assert not list(store.artifacts())


def test_two_runs_in_one_folder_are_not_guessed_between(measured):
    folder = measured()
    results, _ = files_of(folder)
    results.with_name("results_2020-01-01.json").write_text(results.read_text())
    with pytest.raises(EtymonError, match="holds 2 results"):
        find_results(folder)
    assert find_results(results).samples


def test_a_name_that_is_a_path_is_refused(store: Store, measured):
    with pytest.raises(EtymonError, match="no name"):
        import_results(measured(), "../other", store)
