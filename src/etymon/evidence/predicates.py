"""The shapes of the in-toto statements that Etymon writes, by predicate.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.1/provenance,
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md; our own predicates are described here. Only
the fields that Etymon writes are here. Reading is strict: a statement with another field or type is refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from etymon.errors import EtymonError
from etymon.foundation.bounded_json import bounded_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 48 << 20
"""Bytes of a statement: base64 makes a third more of it, and an envelope has 64 MB at most."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Digest(_Part):
    """Of a file: SHA-256 of its bytes. Of a set of files: the root digest of ``etymon.store.digest.root_digest``."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Resource(_Part):
    """An in-toto ResourceDescriptor: a thing with a digest."""

    name: str
    digest: Digest
    uri: str | None = None
    annotations: dict[str, Any] | None = None


class _Statement(_Part):
    """An in-toto Statement v1."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field("https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[Resource, ...] = Field(min_length=1)

    def to_json(self) -> str:
        """As it is written to a file, and signed."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"


class BuildDefinition(_Part):
    """What was done, with which settings, from what."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any]
    resolved_dependencies: tuple[Resource, ...]


class Builder(_Part):
    """What did it. ``version`` holds the libraries."""

    id: str
    version: dict[str, str]


class Metadata(_Part):
    """Which run it was."""

    invocation_id: str
    finished_on: str
    """RFC 3339."""


class RunDetails(_Part):
    """The run itself."""

    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...]


class Provenance(_Part):
    """The SLSA v1 predicate."""

    build_definition: BuildDefinition
    run_details: RunDetails


class TrainingStatement(_Statement):
    """How a model was trained. Subjects: the model by its root digest, then each of its files."""

    predicate_type: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
    predicate: Provenance


Relation = Literal["finetune", "cpt", "lora-merge", "vocab-extend"]
"""Trained on, on plain text or not; trained as an adapter that was merged; or given new tokens, and then trained."""


class Parent(Resource):
    """A model that another derives from."""

    weight: float
    """Its share, where several were merged; 1 for the only one."""


class TensorMap(_Part):
    """What became of the parent's tensors, as the weights show it."""

    record: Resource
    """The file with every tensor and its counterpart."""
    tensors: int
    identical: int
    """Those that are the parent's bit for bit."""
    changed_share: float
    """Share of the scalars that lie in tensors which changed."""
    change_by_role: dict[str, float]
    """Relative change, ‖Δ‖ / ‖W‖."""


class Derivation(_Part):
    """What a model derives from."""

    relation: Relation
    parents: tuple[Parent, ...] = Field(min_length=1)
    recipe: dict[str, Any]
    """The settings that decided the weights."""
    tensor_map: TensorMap | None = None
    """None where the weights were not compared."""


class DerivationStatement(_Statement):
    """What a model derives from. Subject: the model."""

    predicate_type: Literal["https://etymon.dev/derivation/v1"] = "https://etymon.dev/derivation/v1"
    predicate: Derivation


class Figure(_Part):
    """One metric of a task."""

    score: float | None = None
    """None where it is not a number."""
    low: float | None = None
    """Of the 95% interval; None where there is none."""
    high: float | None = None
    n: int
    higher_is_better: bool


class Evaluated(_Part):
    """What an evaluation found."""

    kind: Literal["evaluation"] = "evaluation"
    task: str
    identity: str
    """Digest of all that decides what is asked and how it is judged."""
    metrics: dict[str, Figure]
    records: Resource | None = None
    """The records from which every figure follows; None for figures that were brought from elsewhere without."""


class Compared(_Part):
    """What the weights of two models say."""

    kind: Literal["lineage"] = "lineage"
    parent: Resource
    verdict: Literal["related", "independent", "inconclusive"]
    direction: str
    p_value: float | None = None
    effect: float | None = None
    power: float | None = None
    record: Resource


class TestResult(_Part):
    """The in-toto test-result v0.1 predicate. ``etymon_claims`` is an extension, named as SLSA asks of extensions."""

    __test__ = False
    """No test of pytest's."""
    result: Literal["PASSED", "WARNED", "FAILED"]
    """Lineage: related, inconclusive, independent. An evaluation that was completed has PASSED, whatever the score."""
    configuration: tuple[Resource, ...]
    passed_tests: tuple[str, ...] = ()
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()
    etymon_claims: Annotated[Evaluated | Compared, Field(discriminator="kind", alias="etymon_claims")]


class TestStatement(_Statement):
    """What a test of a model found. Subject: the model."""

    __test__ = False
    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = (
        "https://in-toto.io/attestation/test-result/v0.1"
    )
    predicate: TestResult


class Curation(_Part):
    """What a corpus was made of and how it was decided upon."""

    documents_read: int | None = None
    documents_train: int | None = None
    documents_heldout: int | None = None
    dropped: dict[str, int]
    """By reason."""
    documents_by_source: dict[str, int]
    licenses: tuple[str, ...]
    sources: tuple[Resource, ...]
    """Their files as they were read."""
    declared: tuple[dict[str, Any], ...]
    """What was said about each source."""
    waived: tuple[dict[str, Any], ...]
    """Breaches of the data policy that were accepted, each with its reason."""
    made_from: tuple[Resource, ...]
    """The artifacts that it was decided from."""


class CorpusStatement(_Statement):
    """What a corpus is made of. Subjects: the corpus by its root digest, then each of its files."""

    predicate_type: Literal["https://etymon.dev/corpus/v1"] = "https://etymon.dev/corpus/v1"
    predicate: Curation


class Inventory(_Part):
    """Everything that a signature covers."""

    name: str
    """What the signer calls it: the name of the run."""
    model: Digest
    parts: dict[str, str]
    """Artifacts by what they are to the run."""
    signed: tuple[Resource, ...]
    """The other files of the signed folder."""
    signed_on: str
    """RFC 3339, by the signer's clock."""
    expires: str | None = None
    """The day after which the signer does not stand by it any more, ISO 8601."""


class InventoryStatement(_Statement):
    """What was signed, to the last file. Subjects: the manifests of the artifacts, which hold every other digest."""

    predicate_type: Literal["https://etymon.dev/inventory/v1"] = "https://etymon.dev/inventory/v1"
    predicate: Inventory


Statement = TrainingStatement | DerivationStatement | TestStatement | CorpusStatement | InventoryStatement
_any: TypeAdapter[Statement] = TypeAdapter(Annotated[Statement, Field(discriminator="predicate_type")])


def read_statement(content: bytes, name: str) -> Statement:
    """A statement from its JSON; ``name`` is what errors call it.

    Raises EtymonError for one that is too large, malformed or nested too deeply, or of a predicate that is not known here.
    """
    again = "Ask for it again, or make it anew."
    if len(content) > LARGEST:
        raise EtymonError(f"{name} is too large to be a statement.", again)
    try:
        return _any.validate_python(bounded_json(content))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise EtymonError(f"{name} is not a statement ({where or 'JSON'}: {error.errors()[0]['msg']}).", again) from None
    except (ValueError, RecursionError) as error:
        raise EtymonError(f"{name} is not a statement ({error}).", again) from None
