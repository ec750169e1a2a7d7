"""A model opens from anywhere once, whole, and as what was asked for."""

import errno
import hashlib
import json
import os
import shutil
import socket
import zipfile
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from huggingface_hub import constants
from tiny_gguf import write_tiny_gguf

from etymon.errors import EtymonError
from etymon.foundation import aliases, fetch_hub, fetch_pypi, sources
from etymon.foundation.aliases import ALIASES, Alias
from etymon.foundation.model import DeclaredParent
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import convert_again, open_gguf, open_model
from etymon.foundation.weights import open_weights
from etymon.progress import Report
from etymon.store import Store, root_digest
from etymon.store.artifact import content_digests

PARENT = DeclaredParent(uri="hf:some/parent", relation="quantized")


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_wheel(folder: Path, member: Path, inside: str = "tiny_model/tiny.gguf") -> Path:
    """A wheel as an index would serve it, which breaks if it is ever imported."""
    folder.mkdir(exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(member, inside)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('this code must not run')")
        archive.writestr("../../escaped.txt", "no")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def own_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def index(tmp_path: Path, own_pip: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip, the real one, finds its packages."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_a_folder_is_used_in_place(tiny_llama: Path, cache: Store) -> None:
    model = open_model(str(tiny_llama), cache=cache)
    assert (model.folder, model.name, model.facts.source) == (tiny_llama, tiny_llama.name, str(tiny_llama))
    assert list(cache.artifacts()) == []


def test_an_artifact_that_holds_a_model_is_one(tiny_llama: Path, tmp_path: Path, cache: Store) -> None:
    shutil.copytree(tiny_llama, tmp_path / "train-0123" / "model")
    (tmp_path / "train-0123" / "manifest.json").write_text("{}")
    model = open_model(str(tmp_path / "train-0123"), cache=cache)
    assert (model.name, model.folder.name) == ("train-0123", "model")
    assert model.digest == open_model(str(tiny_llama), cache=cache).digest


def test_a_gguf_is_converted_once(tmp_path: Path, cache: Store) -> None:
    path = write_tiny_gguf(
        tmp_path / "tiny.gguf",
        kind=Kind.Q4_1,
        more=lambda w: (
            w.add_license("apache-2.0"),
            w.add_base_model_count(1),
            w.add_base_model_repo_url(0, "https://huggingface.co/a/b"),
        ),
    )
    reports: list[Report] = []
    model = open_model(str(path), cache=cache, listener=reports.append)
    assert any(report.doing.startswith("converting") and report.done == report.total for report in reports)
    assert (model.name, model.facts.dtype, model.facts.license) == ("tiny", "float32", "Apache-2.0")
    assert model.facts.parents == (DeclaredParent(uri="hf:a/b"),)
    assert "manifest.json" in os.listdir(model.folder)
    assert "manifest.json" not in model.facts.files
    artifact = next(cache.artifacts())
    assert artifact.digest == model.digest
    assert artifact.manifest.inputs["gguf"].digest == sha256(path)
    assert artifact.facts["stored_types"]["Q4_1"] == 23

    elsewhere = shutil.copy(path, tmp_path / "other name.gguf")
    written = (model.folder / "model.safetensors").stat().st_mtime_ns
    again = open_model(str(elsewhere), cache=cache)
    assert (again.digest, again.folder, again.name) == (model.digest, model.folder, "other name")
    assert (again.folder / "model.safetensors").stat().st_mtime_ns == written
    assert load_tokenizer(again)("12 the")["input_ids"] == load_tokenizer(model)("12 the")["input_ids"]
    with torch.no_grad():
        assert load_network(again)(torch.tensor([[5, 6]])).logits.isfinite().all()


def test_facts_travel_with_the_converted_folder(tmp_path: Path, cache: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    row = Alias("tiny", "pypi:tiny-model==1.0#tiny_model/tiny.gguf", sha256(path), "Apache-2.0", (PARENT,))
    monkeypatch.setattr(aliases, "ALIASES", (row,))
    model = open_model(str(path), cache=cache)  # known by its digest, wherever it lies
    assert (model.facts.license, model.facts.parents) == ("Apache-2.0", (PARENT,))
    copied = shutil.copytree(model.folder, tmp_path / "copied")
    assert open_model(str(copied), cache=cache).facts.parents == (PARENT,)
    assert sha256(path) in (copied / "README.md").read_text()


def test_a_file_out_of_a_wheel(tmp_path: Path, cache: Store, index: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", kind=Kind.Q8_0)
    wheel = build_wheel(index, path)
    source = f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{sha256(path)}"
    model = open_model(source, cache=cache)
    assert model.facts.source == "pypi:tiny-model==1.0#tiny_model/tiny.gguf"
    assert model.digest == open_model(str(path), cache=cache).digest
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(cache.root.rglob("*.whl"))
    assert not list(cache.root.rglob("*.gguf"))
    wheel.unlink()
    assert open_model(source, cache=cache).digest == model.digest  # nothing is fetched again


def test_an_alias(tmp_path: Path, cache: Store, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    build_wheel(index, path)
    row = Alias("tiny-one", "pypi:tiny-model==1.0#tiny_model/tiny.gguf", sha256(path), "MIT", (PARENT,))
    monkeypatch.setattr(aliases, "ALIASES", (row,))
    monkeypatch.setattr(sources, "ALIASES", (row,))
    model = open_model("tiny-one", cache=cache)
    assert (model.name, model.facts.license, model.facts.parents) == ("tiny-one", "MIT", (PARENT,))
    assert open_model(row.source, cache=cache).digest == model.digest  # the table pins it


def test_the_gguf_itself_is_fetched_once(tmp_path: Path, cache: Store, index: Path, tiny_llama: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    wheel = build_wheel(index, path)
    source = f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{sha256(path)}"
    fetched = open_gguf(source, cache=cache)
    assert fetched
    assert fetched.read_bytes() == path.read_bytes()
    wheel.unlink()
    assert open_gguf(source, cache=cache) == fetched
    assert open_gguf(str(path), cache=cache) == path
    assert open_gguf(str(tiny_llama), cache=cache) is None
    with pytest.raises(EtymonError, match="not pinned"):
        open_gguf("pypi:tiny-model==1.0#tiny_model/tiny.gguf", cache=cache)


def test_other_content_than_was_pinned_is_refused(tmp_path: Path, cache: Store, index: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    build_wheel(index, path)
    with pytest.raises(EtymonError, match="other content") as refused:
        open_model(f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{'0' * 64}", cache=cache)
    assert f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{sha256(path)}" in refused.value.remedy
    assert list(cache.artifacts()) == []
    assert not list(cache.root.rglob("*.gguf"))


def test_an_unpinned_wheel_is_refused_before_anything_is_fetched(cache: Store) -> None:
    with pytest.raises(EtymonError, match="not pinned") as refused:
        open_model("pypi:tiny-model==1.0#tiny_model/tiny.gguf", cache=cache)
    assert "@sha256:" in refused.value.remedy


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("pypi:tiny-model==2.0#tiny_model/tiny.gguf", r"no wheel of tiny-model==2\.0"),
        ("pypi:tiny-model==1.0#tiny_model/other.gguf", "does not contain tiny_model/other.gguf"),
        ("pypi:tiny-model==1.0#../../etc/passwd.gguf", "does not contain"),
    ],
)
def test_what_is_not_on_the_index(tmp_path: Path, cache: Store, index: Path, source: str, says: str) -> None:
    build_wheel(index, write_tiny_gguf(tmp_path / "tiny.gguf"))
    with pytest.raises(EtymonError, match=says):
        open_model(f"{source}@sha256:{'0' * 64}", cache=cache)


def test_no_network(cache: Store, own_pip: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(EtymonError, match="cannot be reached"):
        open_model(f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{'0' * 64}", cache=cache)


def test_a_damaged_wheel(cache: Store, index: Path, tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    wheel = build_wheel(index, path)
    content = bytearray(wheel.read_bytes())
    content[5000:5100] = bytes(100)
    wheel.write_bytes(content)
    with pytest.raises(EtymonError, match=r"damaged|other content"):
        open_model(f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{sha256(path)}", cache=cache)


@pytest.mark.parametrize(
    "source",
    [
        "pypi:tiny-model#tiny.gguf",
        "pypi:tiny-model>=1#tiny.gguf",
        "pypi:--index-url==1#tiny.gguf",
        "pypi:tiny-model==1.0",
        "pypi:tiny-model==1.0#weights.bin",
        "pypi:tiny-model==1.0#tiny.gguf@sha256:abc",
    ],
)
def test_a_source_that_names_no_file_in_a_wheel(cache: Store, source: str) -> None:
    with pytest.raises(EtymonError, match="does not name a GGUF file in a wheel"):
        open_model(source, cache=cache)


@pytest.fixture
def hub(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache as the hub's client leaves it: blobs, and snapshots of links."""
    root = tmp_path / "hub"
    repository = root / "models--org--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    for path in tiny_llama.iterdir():
        blob = repository / "blobs" / sha256(path)
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return root


@pytest.mark.parametrize("revision", ["", "@main", "@" + "a" * 40])
def test_the_hub_works_offline_from_its_cache(hub: Path, tiny_llama: Path, cache: Store, revision: str) -> None:
    model = open_model(f"hf:org/tiny{revision}", cache=cache)
    assert model.facts.source == "hf:org/tiny@" + "a" * 40
    assert (model.name, model.digest) == ("tiny", open_model(str(tiny_llama), cache=cache).digest)
    weights = open_weights(model.folder)
    assert weights.names


@pytest.mark.parametrize("source", ["hf:org/other", "hf:org/tiny@other"])
def test_the_hub_without_network(hub: Path, cache: Store, source: str) -> None:
    with pytest.raises(EtymonError, match="hub cannot be reached"):
        open_model(source, cache=cache)


@pytest.mark.parametrize(("listening", "says"), [(False, "hub cannot be reached"), (True, "connection to the hub failed")])
def test_a_hub_that_does_not_answer(
    hub: Path, cache: Store, monkeypatch: pytest.MonkeyPatch, listening: bool, says: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()

        if listening:
            Thread(target=hang_up, daemon=True).start()
        else:
            server.close()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        with pytest.raises(EtymonError, match=says) as refused:
            open_model("hf:org/other", cache=cache)
    assert "org/other@main" in refused.value.problem
    assert "network" in refused.value.remedy


def test_a_full_disk_is_not_the_hubs_fault(hub: Path, cache: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "blob")

    monkeypatch.setattr(fetch_hub, "snapshot_download", full)
    with pytest.raises(EtymonError, match="disk is full") as refused:
        open_model("hf:org/tiny", cache=cache)
    assert "Free some space" in refused.value.remedy


@pytest.mark.parametrize("source", ["hf:tiny", "hf:org/../tiny", "hf:a/b/c", "hf:org/tiny@"])
def test_a_source_that_names_no_repository(cache: Store, source: str) -> None:
    with pytest.raises(EtymonError, match="does not name a repository"):
        open_model(source, cache=cache)


def test_unknown_names_come_with_close_ones(cache: Store) -> None:
    with pytest.raises(EtymonError) as refused:
        open_model("smollm2-135m-instruct", cache=cache)
    assert ALIASES[0].name in refused.value.remedy
    with pytest.raises(EtymonError, match="no model at"):
        open_model("./nowhere/model", cache=cache)
    with pytest.raises(EtymonError, match="no model at"):
        open_model("nowhere.gguf", cache=cache)


def test_a_truncated_gguf_leaves_nothing_behind(tmp_path: Path, cache: Store) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(EtymonError, match="truncated"):
        open_model(str(path), cache=cache)
    assert list(cache.artifacts()) == []


def test_a_single_safetensors_file_is_not_a_model(tiny_llama: Path, cache: Store) -> None:
    with pytest.raises(EtymonError, match="single file"):
        open_model(str(tiny_llama / "model.safetensors"), cache=cache)


def test_a_damaged_conversion_is_noticed(tmp_path: Path, cache: Store) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    model = open_model(str(path), cache=cache)
    (model.folder / "config.json").write_text("{}")
    with pytest.raises(EtymonError, match=r"config\.json has"):
        open_model(str(path), cache=cache)


@pytest.mark.slow
def test_the_quickstarts_base() -> None:
    model = open_model("smollm2-135m-instruct-q4_1")
    assert model.facts.parameters == 134_515_008
    assert model.facts.parents[0].uri == "hf:HuggingFaceTB/SmolLM2-135M-Instruct"
    config = json.loads((model.folder / "config.json").read_text())
    assert (config["rope_theta"], config["tie_word_embeddings"]) == (100_000.0, True)
    network, tokenizer = load_network(model), load_tokenizer(model)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = network.generate(**ids, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])


@pytest.mark.slow
def test_an_environment_without_pip_gets_one_for_the_moment(
    tmp_path: Path, cache: Store, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    build_wheel(index, path)
    monkeypatch.setattr(fetch_pypi, "find_spec", lambda name: None)
    model = open_model(f"pypi:tiny-model==1.0#tiny_model/tiny.gguf@sha256:{sha256(path)}", cache=cache)
    assert model.digest == open_model(str(path), cache=cache).digest
    assert not list(cache.root.rglob("pip*"))


def test_a_conversion_is_done_again_and_compared(tmp_path: Path, tiny_llama: Path) -> None:
    cache, path = Store(tmp_path / "cache"), write_tiny_gguf(tmp_path / "tiny.gguf", layers=1)
    assert convert_again(str(tiny_llama), cache=cache) is None
    done = convert_again(str(path), cache=cache)
    assert done
    artifact, differing = done
    assert differing == []
    weights = artifact.file("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    record = artifact.manifest.files["model.safetensors"].model_copy(update={"sha256": sha256(weights)})
    files = artifact.manifest.files | {"model.safetensors": record}
    edited = artifact.manifest.model_copy(update={"files": files, "digest": root_digest(content_digests(files))})
    (artifact.folder / "manifest.json").write_text(edited.model_dump_json(), "utf-8")
    assert (convert_again(str(path), cache=cache) or done)[1] == ["model.safetensors"]
