"""The Cisco provenance kit on a pair of folders, in an environment of its own, one process a pair."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common import BENCH, THIS, run_json

DEPENDENCIES = [
    "accelerate", "numpy<2.4", "pandas<3", "protobuf", "pyarrow", "pydantic-settings", "pydantic>=2.12.5", "rich",
    "sentencepiece", "structlog", "tiktoken", "torch==2.13.0", "transformers<5.40",
]  # fmt: skip
KIT = "cisco-ai-provenance-kit==1.0.0"


@dataclass(frozen=True)
class PeerVerdict:
    match: bool
    """Whether it decides that the two are a match."""
    words: str
    score: float
    seconds: float
    """As it counts them itself: from the beginning of the comparison, imports left out."""
    peak_mb: float


def program() -> Path:
    """The kit asks for Python 3.12 and runs on 3.11: it is installed without that check, its dependencies with it."""
    folder = BENCH / "cisco"
    command = folder / "bin" / "provenancekit"
    if not command.exists():
        print(f"preparing {KIT} in .bench/cisco", flush=True)
        subprocess.run([THIS, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *DEPENDENCIES], check=True)
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", KIT], check=True)
    return command


def peer_verdict(model: Path, parent: Path) -> PeerVerdict:
    command = [str(program()), "compare", "--json", "--no-cache", str(model), str(parent)]
    done = run_json(THIS, Path(__file__), *command)
    if done["code"]:
        return PeerVerdict(False, "failed", 0.0, done["seconds"], done["peak_mb"])
    said = json.loads(done["output"][done["output"].index("{") :])
    decision = said["scores"]["provenance_decision"]
    return PeerVerdict(
        match="Match" in decision and not decision.startswith("Not"),
        words=decision,
        score=said["scores"]["pipeline_score"],
        seconds=said["time_seconds"],
        peak_mb=done["peak_mb"],
    )


def _timed(command: list[str]) -> dict[str, object]:
    """Run from a small process, for the peak memory of a child begins with its parent's."""
    import resource
    import time

    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {"code": done.returncode, "output": done.stdout, "seconds": seconds, "peak_mb": peak}


if __name__ == "__main__":
    print(json.dumps(_timed(sys.argv[1:])))
