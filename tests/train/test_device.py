"""The device and compute type of this machine, and of one that says it is another."""

import sys

import pytest
import torch

from etymon.errors import EtymonError
from etymon.train import device as device_module
from etymon.train.device import resolve_device, resolve_dtype


@pytest.mark.skipif(torch.cuda.is_available() or sys.platform == "darwin", reason="needs a machine without accelerator")
def test_a_machine_with_a_cpu_only() -> None:
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(EtymonError, match=r"execution\.device is cuda"):
        resolve_device("cuda")
    with pytest.raises(EtymonError, match=r"execution\.device is mps"):
        resolve_device("mps")


@pytest.mark.parametrize(("cuda", "expected"), [(False, "mps"), (True, "cuda")])
def test_a_mac(monkeypatch: pytest.MonkeyPatch, cuda: bool, expected: str) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == expected
    assert resolve_device("mps") == "mps"
    assert resolve_device("cpu") == "cpu"


def test_compute_types(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_dtype("auto", "mps") == "float32"
    assert resolve_dtype("bfloat16", "mps") == "bfloat16"
    monkeypatch.setattr(device_module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(device_module, "instruction_set", lambda: "avx2 avx512f")
    assert resolve_dtype("auto", "cpu") == "float32"
    monkeypatch.setattr(device_module, "instruction_set", lambda: "avx2 avx512f avx512_bf16")
    assert resolve_dtype("auto", "cpu") == "bfloat16"
    assert resolve_dtype("float32", "cpu") == "float32"
