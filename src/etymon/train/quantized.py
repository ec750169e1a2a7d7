"""QLoRA (Dettmers et al., arXiv 2305.14314): the base in 4 bits on CUDA, through bitsandbytes. Not tested without a GPU."""

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.facts import read_config
from etymon.foundation.model import Model


def load_quantized(model: Model, device: str) -> PreTrainedModel:
    """The network with its linear layers in NF4. Raises EtymonError without CUDA or bitsandbytes."""
    if device != "cuda":
        raise EtymonError("train.method qlora needs a CUDA device.", "Set train.method: lora.")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise EtymonError("train.method qlora needs bitsandbytes.", "Install it: pip install bitsandbytes") from None
    read_config(model.folder)  # refuses a folder that brings code
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        model.folder, quantization_config=settings, device_map={"": "cuda"}, local_files_only=True, use_safetensors=True
    )
    return network


def on_full_precision(trained: PeftModel, adapted: PeftModel) -> PeftModel:
    """The trained adapter on a base that was never quantised, which it can be merged into without quantising again."""
    set_peft_model_state_dict(adapted, get_peft_model_state_dict(trained))
    return adapted.to("cpu")
