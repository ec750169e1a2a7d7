"""What every benchmark shares: options, environments for peers, the table and the JSON."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
QUIET = {"DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}


def options(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less work, under five minutes once prepared")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser


def peer_python(name: str, requirements: list[str]) -> Path:
    """The interpreter of a peer's own environment under .bench/, made if it is not there or asks for other packages."""
    folder = BENCH / name
    stamp, wanted = folder / "requirements.txt", "\n".join(requirements)
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        print(f"preparing {name} in {folder.relative_to(ROOT)}: {', '.join(requirements)}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True)
        stamp.write_text(wanted, "utf-8")
    return python


def run_json(python: Path | str, script: Path, *arguments: str) -> dict[str, Any]:
    """Run a script in a process of its own; the last line it prints is its result as JSON."""
    done = subprocess.run(
        [str(python), str(script), *arguments],
        env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT / "benchmarks")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def peak_bytes() -> int:
    """The most memory this process held (``ru_maxrss`` would begin with the parent's)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def finish(figures: dict[str, Any], rows: list[tuple[str, ...]], path: Path | None) -> None:
    """Print the table and the figures, and write them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    print(json.dumps(figures, indent=1))
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


median = statistics.median
THIS = sys.executable
