from pathlib import Path

import pytest
from typer.testing import CliRunner

from etymon.cli.app import app
from etymon.cli.make import start
from etymon.errors import EtymonError
from etymon.job.licences import check_licences
from etymon.recipe import Waiver
from etymon.run import Job, StageLine, open_foundation


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
