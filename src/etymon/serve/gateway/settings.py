"""What the operator may set: models, limits and the door, as options of ``etymon serve`` or as a YAML file."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from etymon.foundation.gguf.quantisation import Quantisation
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config

CONTEXT = 4096
"""Tokens of a request and its answer, where the model can take as many and nothing else is asked for."""


def _served_name(name: str) -> str:
    if not name.isprintable() or len(name) > 200 or name != name.strip():
        raise ValueError("use up to 200 printable characters")
    return name


class ModelEntry(Config):
    """One model to be served."""

    model: str | None = None
    """A run, folder, alias, .gguf file, hf: or pypi: source; with ``engine``, its name there, or none for all."""
    name: Annotated[str, AfterValidator(_served_name)] | None = Field(None, min_length=1)
    """What clients call it; by default its own name."""
    engine: str | None = None
    """Address of an OpenAI-compatible server that has it."""
    key_variable: str = "ETYMON_ENGINE_KEY"
    """The environment variable with that server's key."""
    context: int | None = Field(None, ge=32)
    """Tokens of a request and its answer; by default 4096, or what the model can take if that is less. With ``engine`` what
    clients are told: how many it takes is for that server to say."""
    parallel: int = Field(8, ge=1, le=256)
    """Requests computed together."""
    threads: int | None = Field(None, ge=1)
    """Of the processor; by default all."""
    quantize: Quantisation = Quantisation.f16
    """How a model that is no GGUF is written as one: f32, f16, bf16, q8_0, q5_1, q4_1, q4_0."""

    @model_validator(mode="after")
    def _says_which(self) -> "ModelEntry":
        if self.model is None and (self.engine is None or self.name is not None):
            raise ValueError("say which `model`")
        if self.engine is not None and (unused := sorted({"threads", "quantize"} & self.model_fields_set)):
            raise ValueError(f"`{unused[0]}` is for models that are computed here, not at another engine")
        if self.engine is None and "key_variable" in self.model_fields_set:
            raise ValueError("`key_variable` is for an `engine` elsewhere")
        return self


class Limits(Config):
    """What a request, a key and the service as a whole may take."""

    requests_per_minute: int | None = Field(None, ge=1)
    """Of one key, unless the key says otherwise."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Read and written, of one key, unless the key says otherwise."""
    body_bytes: int = Field(4_000_000, ge=1_000)
    seconds: float = Field(600.0, gt=0)
    """From the request to the end of its answer."""
    waiting: int = Field(64, ge=0)
    """Requests to one model that wait for their turn; one more is told to come back later."""
    connections: int = Field(4_000, ge=1)


class Service(Config):
    """The whole configuration."""

    models: tuple[ModelEntry, ...] = Field(min_length=1)
    limits: Limits = Limits()
    policy: Path | None = None
    """A file with permitted uses, what is refused, labels and what is kept; relative to this one."""


def read_service(path: Path) -> Service:
    """Read a configuration. Raises EtymonError that names the key which is wrong."""
    content = read_mapping(path, "configuration of a service", "the key `models`", "Check the path.")
    try:
        service = Service.model_validate(content)
    except ValidationError as error:
        raise explain_invalid(path, error, Service) from None
    return service.model_copy(update={"policy": service.policy and path.parent / service.policy.expanduser()})
