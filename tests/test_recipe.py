import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.errors import EtymonError
from etymon.recipe import Budget, Corpus, Evaluate, Execution, Heldout, Lora, Recipe, Source, Train, load_recipe

MINIMAL = """\
name: mine
foundation: some-model
corpus:
  sources:
    - {name: docs, kind: files, license: own, path: docs}
    - {name: python, kind: python-docs, license: PSF-2.0}
train:
  budget: {tokens: 40_000}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(MINIMAL, "utf-8")
    return path


def problem(path: Path, *overrides: str) -> str:
    with pytest.raises(EtymonError) as refused:
        load_recipe(path, overrides)
    return str(refused.value)


def changed(path: Path, old: str, new: str) -> str:
    assert old in MINIMAL
    path.write_text(MINIMAL.replace(old, new), "utf-8")
    return problem(path)


def test_a_fault_within_a_source_is_told_once(recipe_file: Path) -> None:
    changed(recipe_file, "license: own", "licence: own")
    said = problem(recipe_file).splitlines()
    assert len(said) == 2
    assert all("corpus.sources.0.licen" in line for line in said), "the wrong key, and the one that is missing"
    changed(recipe_file, "license: own", "license: ''")
    assert "corpus.sources.0.license" in problem(recipe_file)


def test_what_is_not_said_has_its_default(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert recipe.train.budget.tokens == 40_000
    assert recipe.evaluate.named_tasks == ("heldout", "mmlu_dev")
    assert recipe.corpus.sources[1].kind == "python-docs"


def test_the_example_is_a_recipe() -> None:
    example = Path(__file__).parents[1] / "examples" / "quickstart.yaml"
    assert load_recipe(example).name == "pydocs-135m"


def test_every_recipe_of_the_readme_is_whole(tmp_path: Path) -> None:
    readme = Path(__file__).parents[1] / "README.md"
    snippets = re.findall(r"^```yaml\n(.*?)^```", readme.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert snippets
    for snippet in snippets:
        (tmp_path / "recipe.yaml").write_text(snippet, "utf-8")
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("key", "close"),
    [
        ("fundation", "foundation"),
        ("train.learning_rat", "learning_rate"),
        ("train.budget.token", "tokens"),
        ("train.lora.rnak", "rank"),
        ("corpus.seeds", "seed"),
        ("corpus.heldout.chars", "characters"),
        ("corpus.sources.0.licence", "license"),
        ("evaluate.task", "tasks"),
        ("execution.devise", "device"),
    ],
)
def test_an_unknown_key_is_refused_at_every_depth_with_a_suggestion(recipe_file: Path, key: str, close: str) -> None:
    said = problem(recipe_file, f"{key}=1")
    assert f"{recipe_file}: unknown key `{key}`" in said
    assert f"did you mean `{close}`?" in said


def test_an_unknown_key_without_a_neighbour_lists_what_is_known(recipe_file: Path) -> None:
    assert "known keys here: tokens, epochs." in problem(recipe_file, "train.budget.zzz=1")


def test_every_problem_is_said_at_once(recipe_file: Path) -> None:
    said = problem(recipe_file, "train.method=half", "corpus.seed=x", "nonsense=1")
    assert len(said.splitlines()) == 3
    assert "`train.method`: Input should be 'full', 'lora' or 'qlora' (found 'half')" in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: mine", "name: a/b", "`name`: use letters"),
        ("name: mine", "name: ../up", "`name`: use letters"),
        ("foundation: some-model\n", "", "`foundation` is missing"),
        ("{tokens: 40_000}", "{tokens: 5, epochs: 1}", "give `tokens` or `epochs`, one of them"),
        ("{tokens: 40_000}", "{}", "give `tokens` or `epochs`, one of them"),
        ("{tokens: 40_000}", "{tokens: -1}", "greater than 0"),
        ("{tokens: 40_000}", "{epochs: .inf}", "finite number"),
        ("{tokens: 40_000}", "{epochs: .nan}", "finite number"),
        (", path: docs", "", "only the kind 'python-docs' has none"),
        ("kind: python-docs", "kind: python-docs, path: x", "only the kind 'python-docs' has none"),
        ("kind: python-docs", "kind: python-docs, column: body", "`column` is for sources of kind 'files'"),
        ("name: python", "name: docs", "two sources are named 'docs'"),
        ("kind: files", "kind: rss", "'files', 'python-docs', 'chat' or 'preference'"),
        ("name: mine", "1: mine", "`1`: Keys should be strings"),
        ("name: mine", "name: mine\ntrain: {budget: {tokens: 1}}", "the key `train` is there twice"),
        ("license: own", "license: own, license: MIT", "the key `license` is there twice"),
    ],
)
def test_what_makes_no_sense_is_refused(recipe_file: Path, old: str, new: str, words: str) -> None:
    said = changed(recipe_file, old, new)
    assert words in said
    assert str(recipe_file) in said


@pytest.mark.parametrize(
    "setting",
    [
        "betas=[0.9, 1.5]",
        "betas=[-1, 0.9]",
        "seed=-1",
        "seed=9223372036854775808",
        "learning_rate=.inf",
        "lora.alpha=.nan",
        "clip_norm=0",
    ],
)
def test_figures_out_of_range_are_refused(recipe_file: Path, setting: str) -> None:
    assert f"`train.{setting.partition('=')[0]}" in problem(recipe_file, f"train.{setting}")


@pytest.mark.parametrize(
    "content", ["", "- a\n- b", "just text", "name: [", "a: b: c", "{" * 5000, "a: &a [*a]", "\t- x", "a: \x07"]
)
def test_what_is_no_recipe_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, "utf-8")
    assert str(path) in problem(path)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert "There is no recipe" in problem(tmp_path / "none.yaml")
    assert "cannot be read" in problem(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    assert "cannot be read" in problem(tmp_path / "latin.yaml")


def test_overrides_are_applied_in_order(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file,
        (
            "train.seed=1", "train.seed=7", "train.learning_rate=1e-5", "train.budget={epochs: 2}", "train.lora.rank=4",
            "train.method=lora", "evaluate.tasks=[heldout]", "corpus.sources.1.license=own", "baselines=[scratch]",
            "foundation=hf:a/b@c",
        ),
    )  # fmt: skip
    assert recipe.train.seed == 7
    assert recipe.train.learning_rate == 1e-5
    assert recipe.train.budget == Budget(epochs=2)
    assert recipe.train.lora.rank == 4
    assert recipe.evaluate.tasks == ("heldout",)
    assert recipe.corpus.sources[1].license == "own"
    assert recipe.baselines == ("scratch",)
    assert recipe.foundation == "hf:a/b@c"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "is not of the form key=value"),
        ("=1", "is not of the form key=value"),
        ("name.first=x", "name is not a section"),
        ("corpus.sources.7.license=own", "corpus.sources has the places 0 to 1"),
        ("corpus.sources.7={}", "corpus.sources has the places 0 to 1"),
        ("corpus.sources.docs.license=own", "corpus.sources has the places 0 to 1"),
        ("corpus.sources.-1.license=own", "corpus.sources has the places 0 to 1"),
        ("train..seed=1", "unknown key"),
    ],
)
def test_an_override_that_fits_nowhere_is_said(recipe_file: Path, override: str, words: str) -> None:
    assert words in problem(recipe_file, override)


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,12}", fullmatch=True)
POSITIVE = st.floats(1e-12, 1e6)
COUNTS = st.integers(1, 10**9)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
SOURCES = st.lists(
    NAMES.flatmap(
        lambda name: (
            st.builds(Source, name=st.just(name), kind=st.just("files"), license=TEXTS, path=TEXTS, column=TEXTS)
            | st.builds(Source, name=st.just(name), kind=st.just("python-docs"), license=TEXTS)
        )
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda source: source.name,
).map(tuple)
SHARE = st.floats(0.001, 0.999)
RECIPES = st.builds(
    Recipe,
    name=NAMES,
    foundation=TEXTS,
    corpus=st.builds(
        Corpus, sources=SOURCES, heldout=st.builds(Heldout, share=SHARE, characters=COUNTS), seed=st.integers(0, 2**31)
    ),
    train=st.builds(
        Train,
        method=st.just("lora"),
        budget=st.builds(Budget, tokens=COUNTS) | st.builds(Budget, epochs=POSITIVE),
        learning_rate=POSITIVE,
        betas=st.tuples(SHARE, SHARE),
        lora=st.builds(Lora, rank=COUNTS, targets=st.just("all-linear") | st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
    ),
    baselines=st.sampled_from([(), ("scratch",)]),
    evaluate=st.builds(Evaluate, tasks=st.lists(TEXTS, max_size=3).map(tuple)),
    execution=st.builds(Execution, pack_tokens=st.integers(2, 10**6)),
)


@settings(max_examples=60)
@given(recipe=RECIPES)
def test_a_recipe_written_and_read_is_the_same(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("round") / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), allow_unicode=True), "utf-8")
    assert load_recipe(path) == recipe


@settings(max_examples=60)
@given(
    value=st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2)
    )
)
@pytest.mark.parametrize(
    "key", ["train", "train.budget.tokens", "train.betas", "corpus.sources", "corpus.heldout.share", "name"]
)
def test_any_value_anywhere_is_taken_or_refused_in_words(
    key: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "recipe.yaml"
    path.write_text(MINIMAL, "utf-8")
    try:
        load_recipe(path, (f"{key}={yaml.safe_dump(value, default_flow_style=True)}",))
    except EtymonError as error:
        said = error.problem
    else:
        said = "taken"
    assert said == "taken" or str(path) in said


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.dpo.beta=0.3", "the section `dpo` would do nothing: objective is pretrain"),
        ("train.lora.rank=4", "the section `lora` would do nothing: method is full"),
        ("train={budget: {tokens: 9}, schedule: cosine, decay_share: 0.5}", "`decay_share` would do nothing"),
        ("control_corpus={sources: [{name: a, kind: python-docs, license: PSF-2.0}]}", "`control_corpus` would do nothing"),
    ],
)
def test_what_would_do_nothing_is_refused(recipe_file: Path, override: str, words: str) -> None:
    with pytest.raises(EtymonError, match=words):
        load_recipe(recipe_file, (override,))
