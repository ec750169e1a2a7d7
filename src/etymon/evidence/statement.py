"""The shape of an in-toto Statement v1 with a SLSA v1 provenance predicate.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.1/provenance.
Only the fields that Etymon writes are here. Reading is strict: a statement with another field or type is refused.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


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


class Statement(_Part):
    """An in-toto Statement v1 about a training run."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field("https://in-toto.io/Statement/v1", alias="_type")
    subject: tuple[Resource, ...] = Field(min_length=1)
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
    predicate: Provenance

    def to_json(self) -> str:
        """As it is written to a file."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n"
