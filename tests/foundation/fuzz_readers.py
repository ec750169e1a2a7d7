"""Damage valid model files in every way that comes to mind and read them: `python tests/foundation/fuzz_readers.py 100000`.

A case is a number: the same number damages the same file in the same way. Reading must end in values or in an EtymonError,
within a gigabyte of memory.
"""

import copy
import json
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file
from tiny_gguf import write_tiny_gguf

from etymon.errors import EtymonError
from etymon.foundation.adapter import read_adapter
from etymon.foundation.weights import INDEX, open_weights
from etymon.lineage.read.structure import read_structure
from etymon.lineage.read.tokens import read_vocabulary

ROOM = 1 << 30
"""Bytes of memory beyond what the process has at its start."""
NUMBERS = [
    0, 1, 2, 7, 8, 31, 32, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**61, 2**62, 2**63 - 1, 2**63,
    2**64 - 1,
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, -1, -(2**63), 1.5, 1e308, float("nan"), float("inf"), "", "F32", "\ud800", "../../x", "a" * 4000,
    [], {}, [[]], [-1], [0], [2**62, 2**62], [1] * 9, {"a": {}}, *NUMBERS,
]  # fmt: skip
TEXTS = [
    b"[" * 100_000, b'{"a":' * 20_000, b"[1e999]", b"NaN", b"-Infinity", b"\xff\xfe", b"\x00" * 64, b"9" * 5000, b'"\\ud800"',
    b",", b"[],", b'"a":1,"a":2,',
]  # fmt: skip


class Room:
    """Valid files to damage, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        layer = {f"layers.{i}.{name}": np.ones(shape, np.float32) for i in range(2) for name, shape in _SHAPES.items()}
        many = {"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float16), "c": np.zeros((0, 3), np.int8)}
        self.seeds: list[tuple[str, bytes]] = []
        for tensors in (many, layer | {"table": np.ones((32, 8), np.float32)}):
            save_file(tensors, folder / "seed", metadata={"format": "pt"})
            self.seeds.append(("model.safetensors", (folder / "seed").read_bytes()))
        for kind in (Kind.F32, Kind.Q4_1, Kind.Q8_0):
            write_tiny_gguf(folder / "seed", kind=kind, layers=1)
            self.seeds += 2 * [("model.gguf", (folder / "seed").read_bytes())]
        index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model.safetensors"}}
        vocabulary = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "c", "id": 2}]}
        adapter = {
            "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["x"], "use_rslora": False, "bias": "none",
            "rank_pattern": {"x": 1}, "alpha_pattern": {}, "modules_to_save": ["y"], "base_model_name_or_path": "base",
        }  # fmt: skip
        self.seeds += [(INDEX, json.dumps(index).encode()), ("tokenizer.json", json.dumps(vocabulary).encode())]
        self.seeds.append(("adapter_config.json", json.dumps(adapter).encode()))
        factors = {"m.x.lora_A.weight": np.ones((2, 8), np.float32), "m.x.lora_B.weight": np.ones((8, 2), np.float32)}
        save_file({f"base_model.model.{name}": values for name, values in factors.items()}, folder / "seed")
        self.seeds.append(("adapter_model.safetensors", (folder / "seed").read_bytes()))
        for name, content in self.seeds:
            (folder / name).write_bytes(content)
        self.valid = dict(self.seeds)

    def case(self, number: int) -> str:
        """Damage a file, read it, and put it back. Says what became of it; any other exception than EtymonError is raised."""
        draw = random.Random(number)
        name, content = draw.choice(self.seeds)
        path = self.folder / name
        path.write_bytes(_damaged(content, name, draw))
        try:
            _read(self.folder, path)
        except EtymonError:
            return f"{name} refused"
        finally:
            path.write_bytes(self.valid[name])
        return f"{name} read"


_SHAPES = {
    "q": (8, 8), "k": (4, 8), "v": (4, 8), "o": (8, 8), "up": (12, 8), "gate": (12, 8), "down": (8, 12), "n1": (8,),
    "n2": (8,),
}  # fmt: skip


def _read(folder: Path, path: Path) -> None:
    if path.name == "tokenizer.json":
        read_vocabulary(folder)
        return
    if path.name.startswith("adapter"):
        adapter = read_adapter(folder)
        for low_rank in adapter.low_rank:
            low_rank.change(adapter.tensors)
        return
    if path.suffix == ".gguf":
        read_vocabulary(path)
    if path.name == INDEX:
        places: tuple[Path, ...] = (folder,)
    else:
        (folder / INDEX).unlink(missing_ok=True)
        places = (folder, path) if path.suffix == ".safetensors" else (path,)
    try:
        for place in places:
            weights = open_weights(place)
            structure = read_structure(weights)
            for name in weights.names:
                assert weights.read(name).shape == weights.shape(name)
            for layer in structure.layers:
                for piece in layer.values():
                    assert piece.read(weights).shape == piece.shape(weights.shape(piece.name))
    finally:
        if path.name != INDEX:
            (folder / INDEX).write_bytes(json.dumps({"weight_map": {"a": "model.safetensors"}}).encode())


def _damaged(content: bytes, name: str, draw: random.Random) -> bytes:
    if name.endswith(".json"):
        return _bytes_damaged(content, draw) if draw.random() < 0.4 else _values_damaged(json.loads(content), draw)
    if name.endswith(".safetensors") and draw.random() < 0.6:
        length = int.from_bytes(content[:8], "little")
        header = _values_damaged(json.loads(content[8 : 8 + length]), draw)
        if draw.random() < 0.2:
            header = _bytes_damaged(header, draw)
        told = len(header) if draw.random() < 0.9 else draw.choice(NUMBERS)
        return struct.pack("<Q", told) + header + content[8 + length :]
    return _bytes_damaged(content, draw)


def _bytes_damaged(content: bytes, draw: random.Random) -> bytes:
    whole = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 4])):
        at = draw.randrange(max(1, min(len(whole), draw.choice([64, 2000, 10_000, len(whole) or 1]))))
        way = draw.randrange(7)
        if way == 0:
            whole[at : at + 8] = struct.pack("<Q", draw.choice(NUMBERS))
        elif way == 1:
            whole[at : at + 4] = struct.pack("<I", draw.choice(NUMBERS) & 0xFFFFFFFF)
        elif way == 2:
            whole[at : at + 1] = draw.randbytes(1)
        elif way == 3:
            del whole[at : at + draw.choice([1, 8, 64, len(whole)])]
        elif way == 4:
            whole[at:at] = whole[at : at + draw.randint(1, 200)]
        elif way == 5:
            whole[at:at] = draw.choice(TEXTS)
        else:
            whole[at : at + 8] = draw.randbytes(draw.randint(0, 16))
    return bytes(whole)


def _values_damaged(content: Any, draw: random.Random) -> bytes:
    """Some values of a JSON object replaced, removed or given twice."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        parent, key = content, draw.choice(list(content))
        while isinstance(parent[key], (dict, list)) and parent[key] and draw.random() < 0.8:
            parent = parent[key]
            key = draw.choice(list(parent)) if isinstance(parent, dict) else draw.randrange(len(parent))
        way = draw.randrange(4)
        if way == 0:
            del parent[key]
        elif way == 1 and isinstance(parent, dict):
            parent[draw.choice(["", "a", "b", "__metadata__", "\x00", "..", "r", "model"])] = copy.deepcopy(parent[key])
        else:
            parent[key] = copy.deepcopy(draw.choice(VALUES))
        if not isinstance(content, dict) or not content:
            break
    return json.dumps(content).encode("utf-8")


def main(cases: int) -> int:
    """Run cases, print what became of them; the exit code is 1 where one crashed."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    ends: Counter[str] = Counter()
    slowest, begun = (0.0, 0), time.monotonic()
    try:
        room = Room(folder)
        for number in range(cases):
            start = time.monotonic()
            try:
                ends[room.case(number)] += 1
            except Exception as error:
                ends[f"crashed: {type(error).__name__}"] += 1
                print(f"case {number} crashed\n{traceback.format_exc()[-2000:]}", flush=True)
            slowest = max(slowest, (time.monotonic() - start, number))
    finally:
        shutil.rmtree(folder)
    print(f"{cases} cases in {time.monotonic() - begun:.0f} s; the slowest, {slowest[1]}, took {slowest[0]:.2f} s")
    for end, count in sorted(ends.items()):
        print(f"{count:8} {end}")
    return int(any(end.startswith("crashed") for end in ends))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
