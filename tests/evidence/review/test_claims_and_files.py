"""What a folder says and holds: claims read from hostile cards, risks named and never run."""

import json
import os
import pickle
from pathlib import Path

import pytest

from etymon.evidence.licences import licence_text, rules
from etymon.evidence.review.claims import Claims, read_claims
from etymon.evidence.review.licence import recognise
from etymon.evidence.review.survey import survey_folder
from etymon.evidence.review.technical import Signature, signature_finding


def claims_of(folder: Path, text: str, name: str = "nova", source: str = "/models/nova") -> Claims:
    (folder / "README.md").write_text(text, "utf-8")
    return read_claims(folder, tuple(path.name for path in folder.iterdir()), name, source)


def test_claims_of_a_card(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("Governed by the laws of the State of California, without regard", "utf-8")
    claims = claims_of(
        tmp_path,
        "---\nlicense: other\nlicense_name: nova-1.0\nbase_model: [org/base]\nlanguage: [en, de]\ndatasets: org/data\n"
        "model-index: [{name: nova, results: [{dataset: {name: mmlu, type: x/y}, metrics: [{type: acc, value: 61.5}]}]}]\n"
        "---\n\n# Nova-1.1B-Chat\n\n- **Developed by:** [Nova Labs](https://nova.ai)\n"
        "- **Funded by:** [More Information Needed]\n",
        source="hf:nova-labs/nova@abc",
    )
    assert (claims.license, claims.relation, claims.languages, claims.datasets) == (
        "nova-1.0",
        None,
        ("en", "de"),
        ("org/data",),
    )
    assert claims.parents[0].uri == "hf:org/base"
    assert claims.parameters == (1.1e9, "1.1B", "README.md")
    assert [(each.task, each.metric, each.value) for each in claims.scores] == [("mmlu", "acc", 61.5)]
    assert claims.laws == ("State of California",)
    assert claims.publisher[0] == "nova-labs (account on the Hugging Face hub)"
    assert "Nova Labs" in claims.publisher[1]
    assert len(claims.publisher) == 2


@pytest.mark.parametrize(
    ("name", "count"),
    [("Llama-3.1-8B", 8e9), ("smollm2-135m-instruct", 135e6), ("Mixtral-8x7B", None), ("Qwen3-A3B", None), ("nova-v2", None)],
)
def test_sizes_in_names(tmp_path: Path, name: str, count: float | None) -> None:
    claims = claims_of(tmp_path, "Nothing.", name)
    assert (claims.parameters[0] if claims.parameters else None) == count


@pytest.mark.parametrize(
    ("says", "claimed"),
    [("It was trained from scratch on 2T tokens.", True), ("It was not trained from scratch.", False), ("A model.", False)],
)
def test_from_scratch(tmp_path: Path, says: str, claimed: bool) -> None:
    assert bool(claims_of(tmp_path, says).scratch) is claimed


def test_a_card_that_swells_or_breaks_harms_nobody(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    swollen = claims_of(tmp_path, f"---\n{bomb}language: *a29\nmodel-index: *a29\nlicense: mit\n---\n\nText.")
    assert swollen.license == "MIT"
    assert swollen.languages == ()
    broken = claims_of(tmp_path, "---\nlicense: [mit\n---\n\n# Nova\n")
    assert "not YAML" in broken.broken
    assert broken.title == "Nova"
    odd = claims_of(
        tmp_path, "---\nlicense: 3\nbase_model: {a: b}\nlanguage: {}\nmodel-index: [3, {results: [{metrics: 4}]}]\n---\n"
    )
    assert (odd.license, odd.parents, odd.scores) == (None, (), ())


def test_risks_are_named_and_nothing_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling_nova.Nova"}}), "utf-8")
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}), "utf-8")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}", "utf-8")
    (folder / "modeling_nova.py").write_text("raise SystemExit", "utf-8")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(os.getcwd))
    (folder / "twins.json").write_text('{"a": 1, "a": 2}', "utf-8")
    (folder / "notes.txt").symlink_to("/etc/passwd")
    (folder / "deep").symlink_to("/etc")
    (folder / "inside.txt").symlink_to(folder / "config.json")
    with (folder / "huge.json").open("wb") as stream:
        stream.truncate(1 << 27)
    os.mkfifo(folder / "pipe")
    found = survey_folder(folder)
    risks = {each.file: each.what for each in found.risks}
    assert "auto_map" in risks["config.json"]
    assert "sandbox" in risks["tokenizer_config.json"]
    assert "Code" in risks["modeling_nova.py"]
    assert "pickle" in risks["pytorch_model.bin"]
    assert "a key occurs twice" in risks["twins.json"]
    assert "134 MB" in risks["huge.json"]
    assert all("link" in risks[name] for name in ("notes.txt", "deep"))
    assert "device" in risks["pipe"]
    assert not {"chat_template.jinja", "inside.txt"} & risks.keys()
    assert {"notes.txt", "deep", "pipe"}.isdisjoint(found.files)


def test_a_hub_snapshot_is_made_of_links(tmp_path: Path) -> None:
    blob, snapshot = tmp_path / "blobs" / "abc", tmp_path / "snapshots" / "0123"
    blob.parent.mkdir()
    snapshot.mkdir(parents=True)
    blob.write_text("{}", "utf-8")
    (snapshot / "config.json").symlink_to(blob)
    found = survey_folder(snapshot)
    assert (found.files, found.risks) == (("config.json",), ())


def test_texts_of_licences_are_told_apart() -> None:
    shipped = {name: text for name in rules().licences if (text := licence_text(name))}
    assert len(shipped) > 10
    for name, text in shipped.items():
        assert recognise(text) == name
    assert (
        recognise("Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software") == "MIT"
    )
    assert recognise("All rights reserved.") is None


def test_fields_that_break_their_readers_are_passed_over(tmp_path: Path) -> None:
    claims = claims_of(tmp_path, "---\nlicense: 2020-99-99\n---\n")
    assert "not YAML" in claims.broken
    metrics = f"[{{type: acc, value: {10**400}}}, {{type: acc, value: .nan}}, {{type: acc, value: 0.5}}]"
    card = f"---\nmodel-index: [{{name: x, results: [{{dataset: {{name: mmlu}}, metrics: {metrics}}}]}}]\n---\n"
    assert [each.value for each in claims_of(tmp_path, card).scores] == [0.5]


def test_of_a_hub_s_repository_signatures_are_not_looked_for() -> None:
    found = signature_finding(Signature(False, None, looked_for=False), "ab" * 32)
    assert (found.status, found.measured.startswith("Not looked for")) == ("unknown", True)
