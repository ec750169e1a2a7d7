"""``etymon check``: the real command on a small model, what serving makes of the rows, and the fault that stops it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from chat_templates import tokenizer_with
from etymon.cli.app import app
from etymon.commands.check import Checked, check
from etymon.errors import EtymonError
from etymon.job.job import Job
from etymon.recipe import load_recipe
from etymon.store import Store

Command = Callable[..., Result]
ETYMON = str(Path(sys.executable).with_name("etymon"))


@pytest.fixture(scope="module")
def project(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: conversations, and a recipe that learns from them."""
    folder = tmp_path_factory.mktemp("project")
    rows = [
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(30)
    ]
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "recipe.yaml").write_text(
        f"name: small\nfoundation: {tiny_llama}\n"
        "corpus: {sources: [{name: talks, kind: chat, license: own, path: chat.jsonl}], heldout: {share: 0.2}}\n"
        "train: {objective: sft, budget: {epochs: 1}, tokens_per_step: 512, sequence_length: 256}\n",
        "utf-8",
    )
    return folder


@pytest.fixture
def command(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command("--json")``: the command in this process."""
    monkeypatch.setenv("ETYMON_CACHE", str(tmp_path / "cache"))
    recipe = str(project / "recipe.yaml")
    return lambda *given: CliRunner().invoke(app, ["check", recipe, "-w", str(tmp_path / "workspace"), *given])


@pytest.fixture
def checked(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Checked]:
    """``checked("train.seed=1", ..., probe=True)``: the check in this process."""
    monkeypatch.setenv("ETYMON_CACHE", str(tmp_path / "cache"))

    def run(*overrides: str, probe: bool = False) -> Checked:
        recipe = load_recipe(project / "recipe.yaml", overrides)
        return check(Job(recipe, project, Store(tmp_path / "workspace")), probe=probe)

    return run


def said(found: Checked, what: str) -> str:
    return next(finding.found for finding in found.findings if finding.what == what)


def faults(found: Checked) -> list[str]:
    return [finding.what for finding in found.findings if finding.state == "fault"]


BROKEN = (
    "{% for m in messages %}<|im_start|><|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|><|im_start|>assistant\n{% endif %}"
)


def test_a_sound_recipe_shows_its_rows_and_what_was_looked_at(command: Command) -> None:
    done = command()
    assert done.exit_code == 0, done.output
    assert "⟧It is " in done.stdout
    assert done.stdout.count(" supervised\n⟦<|im_start|>user\n") == 2
    looked_at = [line[2:21].strip() for line in done.stdout.splitlines() if line.startswith("✓")][2:]
    assert looked_at == [
        "rows", "supervised tokens", "vocabulary", "start mark", "chat template", "end of turn", "held-out rows", "serving",
        "stopping", "weights", "trial step", "memory", "sources", "licences", "tasks", "corpus",
    ]  # fmt: skip


def test_a_fault_ends_the_command_with_its_remedy_and_exit_code_2(project: Path) -> None:
    (project / "broken.jinja").write_text(BROKEN, "utf-8")
    environment = {**os.environ, "ETYMON_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [ETYMON, "check", "recipe.yaml", "--set", "train.chat_template=broken.jinja"],
        cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "has two <|im_start|> in a row\n  Take one out of the chat template" in done.stdout
    assert [line[:13] for line in done.stdout.splitlines() if line.startswith("✗")] == ["✗ start mark "]
    assert not list((project / ".etymon" / "artifacts").glob("train-*"))


def test_every_task_at_fault_is_named_beside_the_other_findings(checked: Callable[..., Checked]) -> None:
    found = checked("evaluate.tasks=[no_such_task, no_other_task]")
    (tasks,) = (finding for finding in found.findings if finding.what == "tasks")
    assert tasks.state == "fault"
    assert "no_other_task" in tasks.found + tasks.remedy
    assert "no_such_task" in tasks.found + tasks.remedy
    assert any(finding.what == "trial step" for finding in found.findings)
    assert not found.sound


def test_findings_as_json(project: Path, command: Command) -> None:
    (project / "broken.jinja").write_text(BROKEN, "utf-8")
    done = command("--json", "--set", "train.chat_template=broken.jinja")
    assert done.exit_code == 2
    found = json.loads(done.stdout)
    assert not found["sound"]
    (fault,) = (finding for finding in found["findings"] if finding["state"] == "fault")
    assert fault["what"] == "start mark"
    assert "train.chat_template" in fault["remedy"]
    assert len(found["rows"]) == 2


def test_rows_that_cannot_be_used_at_all_are_said_at_once(checked: Callable[..., Checked]) -> None:
    with pytest.raises(EtymonError, match=r"longer-than-sequence-length \d+; the first is talks/chat.jsonl#"):
        checked("train.sequence_length=4")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_probe_finds_nothing_here_and_something_by_default(checked: Callable[..., Checked], method: str) -> None:
    found = checked(f"train.method={method}", probe=True)
    assert found.sound
    assert found.probe is not None
    assert found.probe.largest_logit_change == 0
    assert found.probe.largest_change_by_default > 0
    assert said(found, "leaks").endswith(f"in Transformers' default path by {found.probe.largest_change_by_default:.3g}")


def test_a_template_that_tells_the_day_is_the_same_in_serving_but_for_the_day(
    project: Path, checked: Callable[..., Checked]
) -> None:
    dated = "{{ strftime_now('%d %B %Y') }}: {% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}"
    dated += "{% if add_generation_prompt %}[assistant] {% endif %}"
    (project / "dated.jinja").write_text(dated, "utf-8")
    found = checked("train.chat_template=dated.jinja")
    assert found.sound
    assert "in training it is always 26 July 2024" in said(found, "serving")


def test_an_end_mark_at_which_a_server_goes_on_is_a_fault(project: Path, checked: Callable[..., Checked]) -> None:
    """This template ends the answers to some questions in another way."""
    template = (
        "{% set end = '<|endoftext|>' if messages[0].content.startswith('What') else '<|im_end|>' %}"
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ end }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    (project / "two-ends.jinja").write_text(template, "utf-8")
    found = checked("train.chat_template=two-ends.jinja")
    assert faults(found) == ["stopping"]
    assert "<|endoftext|>, at which a server does not stop" in said(found, "stopping")


def test_a_prompt_that_a_server_writes_otherwise_is_a_fault(
    project: Path, tiny_llama: Path, checked: Callable[..., Checked], tmp_path: Path
) -> None:
    """Marks of thinking that the template writes are to a server only characters where they are in an earlier answer."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
    )
    folder = tmp_path / "thinking"
    shutil.copytree(tiny_llama, folder)
    tokenizer_with(template).save_pretrained(folder)
    talk = [("user", "So?"), ("assistant", "<think>\nhm</think>Yes."), ("user", "What is {n}?"), ("assistant", "<think>{n}")]
    rows = [{"messages": [{"role": role, "content": content.format(n=n)} for role, content in talk]} for n in range(30)]
    (project / "thinking.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = checked(f"foundation={folder}", "corpus.sources.0.path=thinking.jsonl")
    assert faults(found) == ["serving"]


def test_plain_completions_are_the_same_in_serving_where_there_is_no_template(
    project: Path, tiny_llama: Path, checked: Callable[..., Checked], tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(tiny_llama, folder)
    rows = [{"prompt": f"{n} and {n} is", "completion": f" {n + n}."} for n in range(30)]
    (project / "plain.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    overrides = (f"foundation={folder}", "corpus.sources.0.path=plain.jsonl")
    assert "chat template, without which" in said(checked(*overrides), "serving")
    (folder / "chat_template.jinja").unlink()
    assert "prompts have the same tokens" in said(checked(*overrides), "serving")
