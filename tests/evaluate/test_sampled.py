"""Items drawn from an evaluation are answered as they were; where the records were changed, the items are named."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etymon.errors import EtymonError
from etymon.evaluate.plan import plan_task
from etymon.evaluate.sampled import ask_again
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.model import Model
from etymon.store import Artifact, Store

GENERATED = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl, dev: sums.jsonl}}
test_split: test
fewshot_split: dev
num_fewshot: 2
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
generation_kwargs: {until: ["."], max_gen_toks: 3}
metric_list:
- {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
KINDS = {
    "generated": GENERATED,
    "choices": GENERATED.split("generation_kwargs", 1)[0].replace("generate_until", "multiple_choice").replace(
        "doc_to_target: answer", 'doc_to_choice: ["{{answer}}", "nine", "no"]\ndoc_to_target: 0'
    )
    + "metric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n",
    "texts": GENERATED.split("num_fewshot", 1)[0].replace("fewshot_split: dev\n", "")
    + 'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{question}}"\n'
    + "metric_list:\n- {metric: bits_per_byte}\n",
}  # fmt: skip


def evaluated(kind: str, model: Model, folder: Path) -> Artifact:
    rows = [{"question": f"{n} and {n} make", "answer": str(2 * n)} for n in range(9)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "sums.yaml").write_text(KINDS[kind])
    plan = plan_task("chat_retention" if kind == "chat" else "sums.yaml", folder=folder, device="cpu")
    made, _ = Store(folder / "store").obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution)
    return made


def edit_records(evaluation: Artifact, item: str) -> None:
    path = evaluation.file("records.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    row = next(each for each in rows if each["item"] == item)
    row |= {"text": "another answer"} if row["text"] is not None else {"logprob": row["logprob"] + 0.1}
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_few_items_are_answered_as_they_were_and_a_changed_record_is_found(
    kind: str, tiny_model: Model, tmp_path: Path
) -> None:
    made = evaluated(kind, tiny_model, tmp_path)
    assert {(found := ask_again(made, tiny_model, None, 4)).items, found.of} == {4, 9}
    assert found.differing == ()
    assert ask_again(made, tiny_model, None, 100).differing == ()
    edit_records(made, "000003")
    assert ask_again(made, tiny_model, None, 100).differing == ("000003",)


def test_another_model_is_found(tiny_model: Model, make_llama: object, tmp_path: Path) -> None:
    from etymon.foundation.sources import open_model

    made = evaluated("choices", tiny_model, tmp_path)
    other = open_model(str(make_llama(seed=5)))  # type: ignore[operator]
    assert len(ask_again(made, other, None, 9).differing) == 9


def test_a_task_that_is_gone_or_changed_is_said(tiny_model: Model, tmp_path: Path) -> None:
    made = evaluated("choices", tiny_model, tmp_path)
    (tmp_path / "sums.yaml").write_text(KINDS["choices"].replace("nine", "ten"))
    with pytest.raises(EtymonError, match="changed since"):
        ask_again(made, tiny_model, None, 2)
