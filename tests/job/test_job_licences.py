import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.cli.make import start
from etymon.errors import EtymonError
from etymon.evidence.conflicts import waivers_of
from etymon.job.ancestors import earlier_corpora
from etymon.job.corpora import build_corpus
from etymon.job.job import Job, StageLine
from etymon.job.licences import check_licences, licence_texts, licences_used
from etymon.recipe import Waiver
from etymon.run import open_foundation, train_model


def write_recipe(folder: Path, foundation: Path, license: str = "own", more: str = "", name: str = "small") -> Path:
    (folder / "docs").mkdir(exist_ok=True)
    for number in range(12):
        (folder / "docs" / f"{number}.txt").write_text(
            f"Text number {number} tells of a river, a hill and a road." * 3, "utf-8"
        )
    path = folder / "recipe.yaml"
    path.write_text(
        f"name: {name}\nfoundation: {foundation}\n"
        f"corpus: {{sources: [{{name: docs, kind: files, license: {license}, path: docs{more}}}]}}\n"
        "train: {budget: {tokens: 500}, sequence_length: 256}\nevaluate: {tasks: []}\n",
        "utf-8",
    )
    return path


def begun(folder: Path, recipe: Path, *waivers: Waiver) -> tuple[Job, list[StageLine]]:
    lines: list[StageLine] = []
    job = start(recipe, None, folder / "workspace", lambda report: None, waivers)  # type: ignore[arg-type]
    job.on_line = lines.append
    return job, lines


def test_nothing_is_made_where_licences_forbid_it(tiny_llama: Path, tmp_path: Path) -> None:
    job, _ = begun(tmp_path, write_recipe(tmp_path, tiny_llama, "CC-BY-NC-4.0"))
    with pytest.raises(EtymonError, match="Source 'docs' breaks the rule non-commercial"):
        check_licences(job, open_foundation(job))
    assert not (tmp_path / "workspace" / "artifacts").exists()


def test_a_waiver_goes_where_its_rule_is_from(tiny_llama: Path, tmp_path: Path) -> None:
    given = Waiver(rule="non-commercial", source="docs", reason="research"), Waiver(rule="origin-missing", reason="ours")
    job, lines = begun(tmp_path, write_recipe(tmp_path, tiny_llama, "CC-BY-NC-4.0"), *given)
    assert job.recipe.waivers == given[:1]
    assert job.recipe.corpus.waivers == given[1:]
    (waived,) = check_licences(job, open_foundation(job))
    assert waived.reason == "research"
    assert "waived, and recorded with the evidence: docs: non-commercial" in lines[-1].summary
    assert lines[-1].caution


def test_a_name_that_will_not_do_is_told_before_training(tiny_llama: Path, tmp_path: Path) -> None:
    written_by = ", generated_by: {model: meta-llama/Llama-3.1-8B-Instruct}"
    job, lines = begun(tmp_path, write_recipe(tmp_path, tiny_llama, more=written_by))
    assert check_licences(job, open_foundation(job)) == []
    assert "llama-3.1: the name small does not begin with Llama" in lines[-1].summary
    job, lines = begun(tmp_path, write_recipe(tmp_path, tiny_llama, more=written_by, name="Llama-small"))
    check_licences(job, open_foundation(job))
    assert [line.stage for line in lines] == ["foundation"]


def test_the_run_itself_stops_with_exit_code_2(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also `etymon check` and `etymon train`."""
    monkeypatch.setenv("ETYMON_WORKSPACE", str(tmp_path / "workspace"))
    recipe = write_recipe(tmp_path, tiny_llama, "secret-terms")
    for command in ("run", "train", "check"):
        done = CliRunner().invoke(app, [command, str(recipe)])
        assert isinstance(done.exception, EtymonError)
        assert "licence-unknown" in str(done.exception)
        assert "all rights are taken as reserved" in str(done.exception)
    assert not (tmp_path / "workspace" / "artifacts").exists()


def test_sources_of_the_control_are_looked_at_too(tiny_llama: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_llama)
    (tmp_path / "other").mkdir()
    control = (
        "baselines: [control]\ncontrol_corpus: {sources: [{name: docs, kind: files, license: CC-BY-NC-4.0, path: other}]}\n"
    )
    recipe.write_text(recipe.read_text("utf-8") + control, "utf-8")
    job, _ = begun(tmp_path, recipe)
    with pytest.raises(EtymonError, match="Source 'control/docs' breaks the rule non-commercial"):
        check_licences(job, open_foundation(job))
    job, _ = begun(tmp_path, recipe, Waiver(rule="non-commercial", source="control/docs", reason="only measured"))
    foundation = open_foundation(job)
    assert [each.source for each in check_licences(job, foundation)] == ["control/docs"]
    assert waivers_of(licences_used(job, foundation), job.recipe.waivers) == ()  # the derivative owes nothing of it


def test_a_text_that_is_not_here_is_told_and_taken_from_where_the_recipe_says(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_llama, folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n", "utf-8")
    recipe = write_recipe(tmp_path, folder)
    job, lines = begun(tmp_path, recipe)
    check_licences(job, open_foundation(job))
    assert "a copy of MIT has to go with the model, and its text is not here" in lines[-1].summary
    assert "https://spdx.org/licenses/MIT.html" in lines[-1].summary
    assert "license_files: {MIT: FILE}" in lines[-1].summary
    recipe.write_text(recipe.read_text("utf-8") + "license_files: {mit: base-licence.txt}\n", "utf-8")
    job, lines = begun(tmp_path, recipe)
    with pytest.raises(EtymonError, match=r"base-licence\.txt, cannot be read"):
        check_licences(job, open_foundation(job))
    (tmp_path / "base-licence.txt").write_text("Copyright (c) someone. As the original has it.", "utf-8")
    check_licences(job, open_foundation(job))
    assert [line.stage for line in lines] == ["foundation", "foundation"]
    assert licence_texts(job) == {"MIT": "Copyright (c) someone. As the original has it."}


@pytest.mark.parametrize(("name", "said"), [("Apache-2.0", "is shipped"), ("secret", "not a licence that the rules know")])
def test_a_text_for_nothing_is_refused(tiny_llama: Path, tmp_path: Path, name: str, said: str) -> None:
    recipe = write_recipe(tmp_path, tiny_llama)
    recipe.write_text(recipe.read_text("utf-8") + f"license_files: {{{name}: text.txt}}\n", "utf-8")
    with pytest.raises(EtymonError, match=said):
        licence_texts(begun(tmp_path, recipe)[0])


def trained_here(tiny_llama: Path, folder: Path, license: str = "CC-BY-SA-4.0", more: str = "") -> tuple[Job, Path]:
    """A training in the workspace, and the folder of its model."""
    recipe = write_recipe(folder, tiny_llama, license, more, "first")
    job, _ = begun(folder, recipe)
    foundation = open_foundation(job)
    train_model(job, foundation, build_corpus(job))
    return job, job.made["train"].folder


def test_what_the_foundation_was_trained_on_here_reaches_its_derivative(tiny_llama: Path, tmp_path: Path) -> None:
    written_by = ", generated_by: {model: meta-llama/Llama-3.1-8B-Instruct}"
    _, first = trained_here(tiny_llama, tmp_path, more=written_by)
    job, lines = begun(tmp_path, write_recipe(tmp_path, first, name="second"))
    foundation = open_foundation(job)
    check_licences(job, foundation)
    assert any("the name second does not begin with Llama" in line.summary for line in lines)
    found = {(each.role, each.name, each.through) for each in licences_used(job, foundation)}
    assert ("source", "docs", first.name) in found
    assert ("generator", "meta-llama/Llama-3.1-8B-Instruct", first.name) in found
    train_model(job, foundation, build_corpus(job))
    second = job.made["train"].folder
    job, _ = begun(tmp_path, write_recipe(tmp_path, second, name="Llama-third"))
    assert len(earlier_corpora(open_foundation(job), job.store)) == 2


def test_a_conflict_of_an_earlier_training_stops_the_next(tiny_llama: Path, tmp_path: Path) -> None:
    job, first = trained_here(tiny_llama, tmp_path, "CC-BY-NC-4.0")
    recipe = write_recipe(tmp_path, first, name="second")
    job, _ = begun(tmp_path, recipe)
    with pytest.raises(EtymonError, match=f"docs.*{first.name} was trained on, breaks the rule non-commercial"):
        check_licences(job, open_foundation(job))
    job, _ = begun(tmp_path, recipe, Waiver(rule="non-commercial", source="foundation", reason="research"))
    assert [each.rule for each in check_licences(job, open_foundation(job))] == ["non-commercial"]


def test_a_foundation_whose_data_is_not_known_here_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    job, first = trained_here(tiny_llama, tmp_path)
    corpus = job.made["corpus"]
    job, _ = begun(tmp_path / "elsewhere", write_recipe(tmp_path, first, name="second"))
    with pytest.raises(EtymonError, match="trained in another workspace") as error:
        check_licences(job, open_foundation(job))
    assert "etymon export" in error.value.remedy
    job, _ = begun(tmp_path, write_recipe(tmp_path, first, name="second"))
    shutil.rmtree(corpus.folder)
    with pytest.raises(EtymonError, match=f"was trained on {corpus.name}, which is not in"):
        check_licences(job, open_foundation(job))
