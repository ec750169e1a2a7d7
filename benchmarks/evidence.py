"""Tampering, forgery and speed: a signed run whose every byte is tried, and model files against ``sha256sum``.

    python benchmarks/evidence.py [--quick] [--json FILE]

A small model is trained by ``etymon run`` and the run signed. ``bytes_flipped`` single bytes, drawn over all files of its
artifacts and signatures (each file at least once), are changed one after the other; every file is taken away once, and one
added in every folder. Each counts as found where ``etymon verify``, given the public key, names the file. ``forgeries`` are
chains put together from another run of the same signer, with swapped foundations, signatures used again, weaker digests, and
keys of the forger's own; signatures turned into their twins; runs and evidence planted beside what is signed; and exported
folders whose config, code or weights are others than the statements speak of. Refused means that something is found; a folder
is also refused by who is to sign it. Rates: ``sha256sum`` of the same files, signing and verifying a folder take turns;
``share_of_sha256sum`` is the slower of the two on one large file, where nothing can be read at once,
``share_of_sha256sum_files`` on four. ``share_of_openssl`` is beside ``openssl dgst -sha256``, which uses the processor's SHA
instructions where sha256sum may not.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import BENCH, QUIET, finish, median, options

PASSWORD, ROUNDS = "not a secret", 3
RECIPE = """
name: {name}
foundation: {foundation}
corpus: {{sources: [{{name: library, kind: files, license: PSF-2.0, path: texts}}]}}
train: {{budget: {{tokens: 4000}}, tokens_per_step: 512, learning_rate: {rate}, sequence_length: 256}}
evaluate: {{tasks: [heldout]}}
baselines: [scratch]
"""


def make_runs(place: Path) -> None:
    """Two runs of a small model on the sources of Python's library."""
    os.environ.update(QUIET)
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    sources = sorted(path for path in Path(os.__file__).parent.glob("*.py") if path.stat().st_size > 4000)[:120]
    (place / "texts").mkdir(parents=True)
    for path in sources:
        (place / "texts" / f"{path.stem}.txt").write_text(path.read_text("utf-8", "replace")[:4000], "utf-8")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([str(path) for path in (place / "texts").iterdir()], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=64, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(place / "foundation")
    fast.save_pretrained(place / "foundation")
    (place / "foundation" / "README.md").write_text("---\nlicense: apache-2.0\n---\n", "utf-8")
    for name, rate in (("small", "3e-3"), ("other", "1e-3")):
        recipe = place / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, foundation=place / "foundation", rate=rate), "utf-8")
        etymon = str(Path(sys.executable).with_name("etymon"))
        subprocess.run([etymon, "run", recipe, "-w", place / "workspace"], check=True, stdout=subprocess.DEVNULL)


def flip_bytes(root: Path, public: Any, count: int) -> tuple[int, int, int]:
    """Flips, those that were found with their file named, and files."""
    from etymon.commands.signing import verify_workspace

    files = sorted(path for part in ("artifacts", "signed") for path in (root / part).rglob("*") if path.is_file())
    files = [path for path in files if path.stat().st_size]
    chance, found = random.Random(0), 0
    for number in range(count):
        path = files[number] if number < len(files) else chance.choice(files)
        place = chance.randrange(path.stat().st_size)
        with path.open("r+b") as file:
            file.seek(place)
            before = file.read(1)[0]
            file.seek(place)
            file.write(bytes([before ^ chance.randrange(1, 256)]))
            file.flush()
            _, artifact, *rest = path.relative_to(root).parts
            named = {(each.artifact, each.file) for each in verify_workspace(root, [public]).findings}
            if (artifact, "/".join(rest)) in named:
                found += 1
            else:
                print(f"not found: byte {place} of {path.relative_to(root)}", flush=True)
            file.seek(place)
            file.write(bytes([before]))
    assert not verify_workspace(root, [public]).findings
    return count, found, len(files)


def lose_and_add(root: Path, public: Any) -> tuple[int, int]:
    """Every file taken away, and one added in every folder, one after the other; and how many of these were found."""
    from etymon.commands.signing import verify_workspace

    def named(path: Path) -> bool:
        _, artifact, *rest = path.relative_to(root).parts
        found = {(each.artifact, each.file) for each in verify_workspace(root, [public]).findings}
        return (artifact, "/".join(rest)) in found

    places = [path for part in ("artifacts", "signed") for path in (root / part).rglob("*")]
    files, folders = [path for path in places if path.is_file()], [path for path in places if path.is_dir()]
    found = 0
    for path in files:
        away = path.rename(root / "away")
        found += named(path)
        away.rename(path)
    for folder in folders:
        (folder / "added").write_bytes(b"")
        found += named(folder / "added")
        (folder / "added").unlink()
    assert not verify_workspace(root, [public]).findings
    return len(files) + len(folders), found


def restated(path: Path, change: Callable[[dict[str, Any]], object], key: Any = None) -> None:
    """Another statement in an envelope, under its old signature or that of ``key``."""
    from etymon.evidence.envelope import seal
    from etymon.evidence.predicates import PAYLOAD_TYPE

    envelope = json.loads(path.read_bytes())
    statement = json.loads(b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement, indent=1).encode()
    if key:
        path.write_bytes(seal(payload, PAYLOAD_TYPE, key))
    else:
        _write(path, envelope | {"payload": b64encode(payload).decode()})


def _write(path: Path, envelope: dict[str, Any]) -> None:
    path.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def forgeries(mine: str, other: str, signer: Any, forger: Any) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each by name, as a change of a workspace; ``mine`` and ``other`` are signed folders.

    The forger has a key of his own. Where the signer's is used, he was talked into a digest that is too weak.
    """
    names = ["corpus", "derivation", "evaluation-heldout", "lineage", "run", "training"]
    files = [*(f"{name}.dsse.json" for name in names), "model.sig"]

    def at(root: Path, file: str) -> Path:
        return root / "signed" / mine / file

    def copy(root: Path, file: str) -> None:
        shutil.copyfile(root / "signed" / other / file, at(root, file))

    def lend(root: Path, file: str, lender: str) -> None:
        """The signature of one envelope under the payload of another."""
        envelope, given = (json.loads(at(root, each).read_bytes()) for each in (file, lender))
        _write(at(root, file), envelope | {"signatures": given["signatures"]})

    def swap(statement: dict[str, Any]) -> None:
        """Another foundation, wherever one is named."""
        _replace_digests(statement, "predicate")

    def weaker(statement: dict[str, Any]) -> None:
        statement["subject"][0]["digest"] = {"sha1": "ab" * 20}

    def weights(root: Path) -> None:
        """Other weights, with manifest and digests made to agree."""
        from etymon.store import file_digest, root_digest

        folder = next(path for path in (root / "artifacts").glob("train-*") if _trained(path))
        path = folder / "model" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01"[-1:])
        manifest = json.loads((folder / "manifest.json").read_bytes())
        manifest["files"]["model/model.safetensors"]["sha256"] = file_digest(path)
        content = {name: each["sha256"] for name, each in manifest["files"].items() if not each["log"]}
        manifest["digest"] = root_digest(content)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")

    yield from planted()
    for file in files:
        yield f"{file} of another run", lambda root, file=file: copy(root, file)
        yield f"without {file}", lambda root, file=file: at(root, file).unlink()
    for file in files[:-1]:
        lender = files[(files.index(file) + 1) % 6]
        yield f"{file} under the signature of {lender}", lambda root, file=file, lender=lender: lend(root, file, lender)
        yield f"{file} with swapped digests", lambda root, file=file: restated(at(root, file), swap)
        yield f"{file} with swapped digests, forger's key", lambda root, file=file: restated(at(root, file), swap, forger)
        yield f"{file} with a weaker digest", lambda root, file=file: restated(at(root, file), weaker)
        yield f"{file} with a weaker digest, signer's key", lambda root, file=file: restated(at(root, file), weaker, signer)
        yield f"{file} of the forger's key", lambda root, file=file: restated(at(root, file), lambda s: None, forger)
        yield f"{file} with the twin of its signature", lambda root, file=file: _twin(at(root, file))
    yield "other weights, consistently", weights
    yield "no signatures at all", lambda root: shutil.rmtree(root / "signed")
    yield "signatures of another run alone", lambda root: shutil.rmtree(root / "signed" / mine)


def planted() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Evidence and runs that are consistent in themselves and that nobody has signed, beside those that are."""
    training, scores = "statements/training.json", "statements/evaluation-heldout.json"

    def evidence(root: Path, change: Callable[[Path, dict[str, Any]], object]) -> None:
        plant(
            _named(root, "evidence", "small"),
            lambda folder, manifest: manifest["meaning"].update(name="lamp") or change(folder, manifest),
        )

    def without_training(folder: Path, manifest: dict[str, Any]) -> None:
        (folder / training).unlink()
        manifest["files"].pop(training)

    def another_statement(folder: Path, manifest: dict[str, Any]) -> None:
        shutil.copyfile(folder / scores, folder / training)

    def run(root: Path, change: Callable[[dict[str, Any]], object], pointer: str = "small") -> None:
        def changed(folder: Path, manifest: dict[str, Any]) -> None:
            manifest["created"] = "2001-01-01T00:00:00+00:00"
            manifest["meaning"]["recipe"]["name"] = manifest["facts"]["name"] = pointer
            manifest["meaning"]["recipe"]["train"]["budget"]["tokens"] += 1
            change(manifest)

        made = plant(_named(root, "run", "small"), changed)
        (root / "pointers").mkdir(exist_ok=True)
        pointed = {"parts": {}, "finished": made.name, "updated": "2030-01-01T00:00:00+00:00"}
        (root / "pointers" / f"{pointer}.json").write_text(json.dumps(pointed), "utf-8")

    def relabelled(root: Path) -> None:
        """The record of a run names the weights of another beside its own evidence."""
        other = _named(root, "run", "other")
        train = json.loads((other / "manifest.json").read_bytes())["inputs"]["train"]
        run(root, lambda manifest: manifest["inputs"]["train"].update(label=train["label"]))

    def swapped(root: Path) -> None:
        other = json.loads((_named(root, "run", "other") / "manifest.json").read_bytes())
        run(root, lambda manifest: manifest["inputs"].update(train=other["inputs"]["train"]), "lamp")

    yield "evidence without a statement of training", lambda root: evidence(root, without_training)
    yield "evidence with scores in the place of training", lambda root: evidence(root, another_statement)
    for role in ("derivative", "corpus"):
        yield f"evidence of no {role}", lambda root, role=role: evidence(root, lambda _, m: m["inputs"].pop(role))
    yield "a run under a signed one's name, of long ago", lambda root: run(root, lambda manifest: None)
    yield "a run under a new name", lambda root: run(root, lambda manifest: None, "lamp")
    yield "a run's record with another's weights by name", relabelled
    yield "a run's record with another's weights", swapped
    yield "no run at all", lambda root: [shutil.rmtree(each) for each in [*root.glob("artifacts/run-*"), root / "signed"]]


def _named(root: Path, stage: str, name: str) -> Path:
    """The artifact of this stage that belongs to the run of this name."""
    found = [path for path in (root / "artifacts").glob(f"{stage}-*") if (path / "manifest.json").is_file()]
    return next(path for path in found if json.loads((path / "manifest.json").read_bytes())["facts"]["name"] == name)


def plant(folder: Path, change: Callable[[Path, dict[str, Any]], object]) -> Path:
    """A changed copy of an artifact, at the address and with the digests that follow from it."""
    from etymon.store import file_digest, root_digest
    from etymon.store.artifact import artifact_name
    from etymon.store.stage import address_of

    making = folder.with_name("making")
    shutil.copytree(folder, making)
    manifest = json.loads((making / "manifest.json").read_bytes())
    change(making, manifest)
    for name, record in manifest["files"].items():
        record |= {"sha256": file_digest(making / name), "bytes": (making / name).stat().st_size}
    manifest["digest"] = root_digest({name: each["sha256"] for name, each in manifest["files"].items() if not each["log"]})
    inputs = {role: each["digest"] for role, each in manifest["inputs"].items()}
    manifest["address"] = address_of(manifest["stage"], manifest["stage_version"], manifest["meaning"], inputs)
    (making / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    return making.rename(folder.with_name(artifact_name(manifest["stage"], manifest["address"])))


def _twin(path: Path) -> None:
    """(r, n - s) in the place of (r, s): as good to ECDSA, and written without the key."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    envelope = json.loads(path.read_bytes())
    r, s = decode_dss_signature(b64decode(envelope["signatures"][0]["sig"]))
    envelope["signatures"][0]["sig"] = b64encode(encode_dss_signature(r, order - s)).decode()
    _write(path, envelope)


def folder_forgeries() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Each by name, as a change of an exported folder that is about to be signed."""

    def kept_aside(folder: Path, name: str) -> None:
        (folder / name).rename(folder / "statements" / f"trained-{name}")
        (folder / name).write_text("{}", "utf-8")

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        yield f"another {name}", lambda folder, name=name: (folder / name).write_text("{}", "utf-8")
        yield f"another {name}, its own kept aside", lambda folder, name=name: kept_aside(folder, name)
    for name in ("pytorch_model.bin", "modeling_x.py", "chat_template.jinja", "adapter_config.json", "more.safetensors"):
        yield f"with {name}", lambda folder, name=name: (folder / name).write_text("{}", "utf-8")
    yield "scores of another model", lambda folder: _restate(folder, "evaluation-heldout.json")
    yield "a derivation of another model", lambda folder: _restate(folder, "derivation.json")


def _restate(folder: Path, file: str) -> None:
    path = folder / "statements" / file
    statement = json.loads(path.read_bytes())
    statement["subject"][0]["digest"]["sha256"] = "ab" * 32
    path.write_text(json.dumps(statement), "utf-8")


def try_folders(store: Any, place: Path, key: Path, public: Any) -> tuple[int, int]:
    """Forged folders, tried on their signer and, signed all the same, on whoever verifies; and those that both refused."""
    from etymon.commands.export.hub import export_for_hub
    from etymon.errors import EtymonError
    from etymon.evidence.bundle import SIGNATURE, sign_files
    from etymon.evidence.folder import sign_folder, verify_folder

    shutil.rmtree(place, ignore_errors=True)
    exported = export_for_hub("small", place / "exported", store).folder
    tried = refused = 0
    for name, forge in folder_forgeries():
        folder = Path(shutil.copytree(exported, place / "forged"))
        forge(folder)
        tried += 1
        try:
            sign_folder(folder, key, PASSWORD)
            print(f"signed: a folder, {name}", flush=True)
        except EtymonError:
            sign_files(folder, place / SIGNATURE, key, PASSWORD, left_out=(SIGNATURE,))
            (place / SIGNATURE).rename(folder / SIGNATURE)
            if verify_folder(folder, [public]).findings:
                refused += 1
            else:
                print(f"not refused: a folder, {name}", flush=True)
        shutil.rmtree(folder)
    sign_folder(exported, key, PASSWORD)
    assert not verify_folder(exported, [public]).findings
    shutil.rmtree(place)
    return tried, refused


def _replace_digests(value: Any, key: str) -> None:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(each, dict) and "sha256" in each:
            each["sha256"] = "ab" * 32
        _replace_digests(each, key)


def _trained(folder: Path) -> bool:
    return bool(json.loads((folder / "manifest.json").read_bytes())["meaning"]["start"] == "foundation")


def rates(place: Path, sizes: list[int], key: Path, public: Any) -> tuple[float, float, float, float]:
    """Seconds of ``sha256sum``, ``openssl dgst``, signing and verifying, medians."""
    from etymon.evidence.folder import sign_folder, verify_folder

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    draw = random.Random(1)
    for number, size in enumerate(sizes):
        with (place / f"model-{number}.safetensors").open("wb") as file:
            for _ in range(size >> 20):
                file.write(draw.randbytes(1 << 20))
    hashed, digested, signed, verified = [], [], [], []
    files = sorted(place.glob("*.safetensors"))
    for _ in range(ROUNDS):
        for command, seconds in ((["sha256sum"], hashed), (["openssl", "dgst", "-sha256"], digested)):
            begun = time.perf_counter()
            subprocess.run([*command, *files], check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begun)
        (place / "model.sig").unlink(missing_ok=True)
        begun = time.perf_counter()
        sign_folder(place, key, PASSWORD)
        signed.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        assert not verify_folder(place, [public]).findings
        verified.append(time.perf_counter() - begun)
    shutil.rmtree(place)
    return median(hashed), median(digested), median(signed), median(verified)


def main() -> None:
    parser = options(__doc__ or "")
    asked = parser.parse_args()
    place = BENCH / "evidence"
    if not (place / "workspace" / "artifacts").is_dir() or len(list(place.glob("workspace/artifacts/run-*"))) < 2:
        shutil.rmtree(place, ignore_errors=True)
        make_runs(place)
    from etymon.commands.signing import sign, verify_workspace
    from etymon.evidence.keys import load_key, load_public, new_key, public_path
    from etymon.store import Store

    root, keys = place / "workspace", place / "keys"
    for part in (root / "signed", keys):
        shutil.rmtree(part, ignore_errors=True)
    public = new_key(keys / "signer.pem", PASSWORD)
    new_key(keys / "forger.pem", PASSWORD)
    store = Store(root)
    mine, other = (sign(name, store, keys / "signer.pem", PASSWORD)[0].name for name in ("small", "other"))
    assert load_public(public_path(keys / "signer.pem")) == public
    assert not verify_workspace(root, [public]).findings
    flipped, found, files = flip_bytes(root, public, 250 if asked.quick else 1000)
    changed, seen = lose_and_add(root, public)
    tried = refused = 0
    signer, forger = (load_key(keys / f"{name}.pem", PASSWORD) for name in ("signer", "forger"))
    for name, forge in forgeries(mine, other, signer, forger):
        copy = place / "forged"
        shutil.rmtree(copy, ignore_errors=True)
        for part in ("artifacts", "signed"):
            shutil.copytree(root / part, copy / part)
        forge(copy)
        tried += 1
        if verify_workspace(copy, [public]).findings:
            refused += 1
        else:
            print(f"not refused: {name}", flush=True)
        shutil.rmtree(copy)
    more, more_refused = try_folders(store, place / "folders", keys / "signer.pem", public)
    tried, refused = tried + more, refused + more_refused
    size = (256 << 20) if asked.quick else (1 << 30)
    one = rates(place / "rates", [size], keys / "signer.pem", public)
    four = rates(place / "rates", [size // 4] * 4, keys / "signer.pem", public)
    figures = {
        "bytes_flipped": flipped,
        "flips_found": found,
        "files": files,
        "files_added_or_missing": changed,
        "added_or_missing_found": seen,
        "forgeries": tried,
        "forgeries_refused": refused,
        "share_of_sha256sum": round(one[0] / max(one[2:]), 3),
        "share_of_sha256sum_files": round(four[0] / max(four[2:]), 3),
        "share_of_openssl": round(one[1] / max(one[2:]), 3),
    }
    megabytes = size / 1e6
    rows = [("", "sha256sum MB/s", "openssl MB/s", "sign MB/s", "verify MB/s")]
    rows += [
        (name, *(f"{megabytes / seconds:,.0f}" for seconds in timed))
        for name, timed in (("one file", one), ("four files", four))
    ]
    finish(figures, rows, asked.json)


if __name__ == "__main__":
    main()
