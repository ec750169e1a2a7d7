"""A model's network and tokenizer, loaded from its folder by Transformers: local files only, no foreign code, no noise.

Chat templates are text from the model's files. Transformers renders them in Jinja's immutable sandbox, so a template
cannot reach Python objects; templates are rendered only through ``tokenizer.apply_chat_template``.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from etymon.errors import EtymonError
from etymon.foundation.facts import read_config, read_object
from etymon.foundation.model import Model


def load_network(
    model: Model, *, dtype: torch.dtype = torch.float32, device: str = "cpu", attention: str = "sdpa"
) -> PreTrainedModel:
    """The network with its weights in ``dtype``, in evaluation mode.

    Raises EtymonError where Transformers does not know the architecture, or weights are missing or of another shape.
    """
    read_config(model.folder)  # refuses a folder that brings code
    with _quiet():
        try:
            network, loading = AutoModelForCausalLM.from_pretrained(
                model.folder,
                dtype=dtype,
                attn_implementation=attention,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (ValueError, KeyError, RuntimeError, OSError) as error:
            raise _unknown(model, error) from error
    if missing := sorted(loading["missing_keys"]):
        raise EtymonError(
            f"{model.folder} lacks {len(missing)} weights that its config asks for, such as {missing[0]}.",
            "The download is incomplete or the config belongs to another model; fetch it again.",
        )
    network = network.to(device).eval()
    assert isinstance(network, PreTrainedModel)
    return network


def load_config(model: Model) -> PreTrainedConfig:
    """The config as Transformers completes it. Raises EtymonError where it does not know the architecture."""
    read_config(model.folder)
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)
        except (ValueError, KeyError, OSError) as error:
            raise _unknown(model, error) from error
    assert isinstance(config, PreTrainedConfig)
    return config


def random_network(model: Model, seed: int) -> PreTrainedModel:
    """A network of the same architecture from a seeded random start (Transformers' own initialisation), in float32.

    The state of the global random generator is left as it was.
    """
    config = load_config(model)
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
        except (ValueError, KeyError) as error:
            raise _unknown(model, error) from error
    assert isinstance(network, PreTrainedModel)
    return network.eval()


def save_network(network: PreTrainedModel, folder: Path, dtype: torch.dtype) -> None:
    """Write config and weights (safetensors) of a network in ``dtype``; attention is set back to Transformers' default."""
    network.to(dtype).set_attn_implementation("sdpa")
    with _quiet():
        network.save_pretrained(folder)


def load_tokenizer(model: Model) -> PreTrainedTokenizerBase:
    """The tokenizer, with its chat template. Raises EtymonError where the folder has none that can be read."""
    read_config(model.folder)
    with _quiet():
        try:
            tokenizer = _tokenizer_class(model).from_pretrained(model.folder, local_files_only=True, trust_remote_code=False)
        except (ValueError, KeyError, OSError, ImportError) as error:
            raise EtymonError(
                f"The tokenizer of {model.name} in {model.folder} cannot be read: {_first_line(error)}",
                "A tokenizer.json must lie beside the weights; save it with the tokenizer's save_pretrained().",
            ) from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _tokenizer_class(model: Model) -> Any:
    """A folder that asks for the plain class gets what its tokenizer.json says.

    AutoTokenizer puts a tokenizer of its own in the place of any of a Qwen2 model (measured: other ids).
    """
    wanted = read_object(model.folder / "tokenizer_config.json").get("tokenizer_class")
    return PreTrainedTokenizerFast if wanted in ("PreTrainedTokenizerFast", "TokenizersBackend") else AutoTokenizer


def _unknown(model: Model, error: Exception) -> EtymonError:
    return EtymonError(
        f"Transformers cannot load {model.name} ({model.facts.architecture}) from {model.folder}: {_first_line(error)}",
        "Check that the architecture is a causal language model which the installed Transformers knows.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, no warnings of Transformers on the user's terminal while a model is loaded or saved."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
