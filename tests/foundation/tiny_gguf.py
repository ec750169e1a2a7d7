"""Tiny random GGUF files of every known architecture, and llama.cpp to ask what is true of them."""

import http.client
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from varied_texts import real_strings

WIDTH, HEADS, KV_HEADS, HEAD, FFN, LAYERS, CONTEXT = 64, 4, 2, 16, 96, 3, 512
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ["Ġ t", "h e", "Ġt he", "1 2", "12 3", "Ċ Ċ", "a n", "an d", "Ġ and", "Ġ Ġ"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def byte_level(
    writer: gguf.GGUFWriter, pre: str | None = "smollm", merges: list[str] = MERGES, template: str = TEMPLATE
) -> int:
    """A byte-pair tokenizer; returns the size of its vocabulary."""
    tokens = [*SPECIAL, *BYTES, *(merge.replace(" ", "") for merge in merges)]
    writer.add_tokenizer_model("gpt2")
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(template)
    return len(tokens)


@cache
def greedy_merges() -> tuple[str, ...]:
    """Merges learnt across words, digits and spaces alike, so that every cut shows in the ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=3000, initial_alphabet=BYTES, max_token_length=20, show_progress=False)
    numbers = [f"{row} {row * 7919}" for row in range(2000)]
    texts = [text for text in real_strings(500) if "<|" not in text]  # marks are no merges
    tokenizer.train_from_iterator([*texts, *numbers], trainer)
    seen: dict[str, str] = {}
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        seen.setdefault(left + right, f"{left} {right}")
    return tuple(seen.values())


def sentencepiece(writer: gguf.GGUFWriter, spaced: bool) -> int:
    """A SentencePiece vocabulary whose scores are the order in which its pieces were learnt."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if spaced else "never")
    texts = [text for text in real_strings(500) if "<|" not in text]
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1500, limit_alphabet=150, show_progress=False))
    pieces = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    pieces = [piece for piece in pieces if len(piece) > 1] + [piece for piece in pieces if len(piece) == 1]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "<|user|>", "\n~\n"]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(row) for row in range(len(pieces))] + [0.0, 0.0])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(pieces) + [3, 4])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(spaced)
    return len(tokens)


def write_tiny_gguf(
    path: Path,
    architecture: str = "llama",
    kind: Kind = Kind.F32,
    *,
    tied: bool = False,
    tokenizer: Callable[[gguf.GGUFWriter], int] = byte_level,
    more: Callable[[gguf.GGUFWriter], Any] = lambda writer: None,
    width: int = WIDTH,
    ffn: int = FFN,
    seed: int = 0,
    layers: int = LAYERS,
) -> Path:
    """Write a model with random weights; matrices are of the given kind, norms and biases float32."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_block_count(layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    head = HEAD if width == WIDTH else width // HEADS
    if architecture == "llama":
        writer.add_rope_dimension_count(head)
    else:
        writer.add_key_length(head)
        writer.add_value_length(head)
    if architecture.startswith("gemma"):
        writer.add_sliding_window(16)
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)
    vocabulary = tokenizer(writer)
    more(writer)
    random = np.random.default_rng(seed)
    for name, shape in shapes(architecture, vocabulary, tied, width, ffn, head, layers).items():
        if len(shape) == 1:
            values = random.standard_normal(shape).astype(np.float32) * 0.2 + (1 if "norm" in name else 0)
            writer.add_tensor(name, values.astype(np.float32))
        else:
            add_matrix(writer, name, random, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def shapes(
    architecture: str, vocabulary: int, tied: bool, width: int, ffn: int, head: int, layers: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes as llama.cpp has them."""
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, width), "output_norm.weight": (width,)}
    if not tied and not architecture.startswith("gemma"):
        found["output.weight"] = (vocabulary, width)
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (width,),
        "ffn_norm.weight": (width,),
        "attn_q.weight": (HEADS * head, width),
        "attn_k.weight": (KV_HEADS * head, width),
        "attn_v.weight": (KV_HEADS * head, width),
        "attn_output.weight": (width, HEADS * head),
        "ffn_gate.weight": (ffn, width),
        "ffn_up.weight": (ffn, width),
        "ffn_down.weight": (width, ffn),
    }
    if architecture == "qwen2":
        layer |= {"attn_q.bias": (HEADS * head,), "attn_k.bias": (KV_HEADS * head,), "attn_v.bias": (KV_HEADS * head,)}
    if architecture in ("qwen3", "gemma3"):
        layer |= {"attn_q_norm.weight": (head,), "attn_k_norm.weight": (head,)}
    if architecture.startswith("gemma"):
        layer |= {"post_attention_norm.weight": (width,), "post_ffw_norm.weight": (width,)}
    return found | {f"blk.{i}.{name}": shape for i in range(layers) for name, shape in layer.items()}


_SCALES = {Kind.Q2_K: (80, 82), Kind.Q3_K: (108,), Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2), Kind.Q6_K: (208,)}
"""Where the half-precision scales of a K-quant block are. The gguf package can read K-quants but not make them."""


def add_matrix(writer: gguf.GGUFWriter, name: str, random: np.random.Generator, shape: tuple[int, ...], kind: Kind) -> None:
    if kind in _SCALES:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        stored = random.integers(0, 256, (shape[0] * shape[1] // block, size), dtype=np.uint8)
        for at in _SCALES[kind]:
            scale = np.full((len(stored), 1), 0.0005, np.float16)
            stored[:, at : at + 2] = scale.view(np.uint8)
        writer.add_tensor(name, stored.reshape(shape[0], -1), raw_dtype=kind)
        return
    values = (random.standard_normal(shape) * 0.3).astype(np.float32)
    if kind == Kind.F32:
        writer.add_tensor(name, values)
    elif kind == Kind.F16:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


class HalfGelu(torch.nn.Module):
    """llama.cpp looks GELU up in a half-precision table."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        looked_up = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, 0 * x, torch.where(x >= 10, x, looked_up))


_KEPT: list[Any] = []
"""Servers are kept until the end: one that is destroyed before its loop has begun waits for it for ever."""


class LlamaCpp:
    """llama.cpp with one model, on loopback."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.warmup, params.cpuparams.n_threads = 512, 1, False, 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # it rounds to half precision
        self._server = xllamacpp.Server(params)
        _KEPT.append(self._server)
        self._connection = http.client.HTTPConnection(self._server.listening_address.removeprefix("http://"))

    def ids(self, text: str, *, framed: bool = False) -> list[int]:
        """Token ids, with special tokens found in the text; ``framed`` adds BOS and EOS where the model wants them."""
        body = json.dumps({"content": text, "add_special": framed, "parse_special": True})
        self._connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
        found: list[int] = json.loads(self._connection.getresponse().read())["tokens"]
        return found

    def next_logprobs(self, ids: list[int], vocabulary: int) -> np.ndarray[Any, Any]:
        """Log-probability of every token after these."""
        answer = self._server.handle_completions(
            {"prompt": ids, "n_predict": 1, "n_probs": vocabulary, "cache_prompt": False, "logit_bias": [[10, 1000.0]]}
        )  # the bias makes it choose a printable token, which it needs to answer; the log-probabilities are from before
        logprobs = np.full(vocabulary, -np.inf)
        for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            logprobs[entry["id"]] = entry["logprob"]
        return logprobs

    def greedy(self, ids: list[int], count: int) -> list[int]:
        """The likeliest tokens after these, one by one; an end of the text is a token like any other."""
        asked = {"prompt": ids, "n_predict": count, "temperature": 0, "return_tokens": True, "ignore_eos": False}
        self._connection.close()  # the server ends a connection that was idle while the caller computed
        self._connection.request("POST", "/completion", json.dumps(asked), {"Content-Type": "application/json"})
        found: list[int] = json.loads(self._connection.getresponse().read())["tokens"]
        return found
