"""A model on disk: a plain Transformers folder, its digest, and the facts read from it."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from etymon.errors import EtymonError
from etymon.store import value_digest


class DeclaredParent(BaseModel):
    """A model that this one says it derives from. Declared, not measured."""

    model_config = ConfigDict(frozen=True)

    uri: str
    """``hf:org/name``, ``pypi:package==version#path``, or a name as the model card gives it."""
    relation: str = "finetune"
    """As Hugging Face's ``base_model_relation``: finetune, adapter, merge, quantized; or ``dequantized``."""


class ModelFacts(BaseModel):
    """What a model is, read from its files; nothing is executed."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    """Transformers class, such as ``LlamaForCausalLM``."""
    model_type: str
    parameters: int
    """Scalars in the weights; tied weights count once."""
    embedding_parameters: int
    """Of these, input and output embeddings; tied ones count once."""
    layers: int
    width: int
    context_length: int
    vocabulary: int
    dtype: str
    """Of most of the stored scalars: ``float32``, ``bfloat16`` …"""
    license: str | None
    parents: tuple[DeclaredParent, ...] = ()
    source: str
    """Where it was opened from."""
    files: dict[str, str]
    """SHA-256 of every file, by name."""
    has_chat_template: bool
    exported_from: str | None = None
    """Digest of the model that was exported as this one, as its ``export.json`` or its GGUF declares."""


@dataclass(frozen=True)
class Model:
    """A model that has been opened: an ``Input`` of stages."""

    name: str
    folder: Path
    digest: str
    """Root digest over the folder's files."""
    facts: ModelFacts

    @property
    def weights(self) -> str:
        """Digest of the weight files alone: a model with another card beside it is the same model."""
        return value_digest(sorted(digest for file, digest in self.facts.files.items() if file.endswith(".safetensors")))


@dataclass(frozen=True)
class TokenizerFile:
    """A model's ``tokenizer.json``, as an ``Input`` of stages that need nothing else of the model."""

    name: str
    folder: Path
    digest: str


def tokenizer_of(model: Model) -> TokenizerFile:
    """Raises EtymonError where the model has no such file."""
    digest = model.facts.files.get("tokenizer.json")
    if digest is None:
        raise EtymonError(
            f"{model.name} has no tokenizer.json, by which a mixture counts tokens.", "Leave `corpus.mix` out, or convert it."
        )
    return TokenizerFile(f"tokenizer of {model.name}", model.folder, digest)
