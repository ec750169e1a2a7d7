"""What both sides of the evaluation benchmark do: read the work, answer it part by part, say how long it took."""

import json
import time
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from common import peak_bytes


def startup_seconds() -> float:
    """Since this process began."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / 100  # in ticks since boot; 22nd field
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def instances(items: list[Any], generated: bool) -> list[Instance]:
    if generated:
        settings = {"do_sample": False, "max_gen_toks": 256}
        return [
            Instance("generate_until", {}, (context, {"until": stops, **settings}), 0, ("gsm8k", number, 1))
            for number, (context, stops) in enumerate(items)
        ]
    return [
        Instance("loglikelihood", {}, (context, continuation), choice, ("choices", number, 1))
        for number, (context, continuations) in enumerate(items)
        for choice, continuation in enumerate(continuations)
    ]


def answer(model: Any, file: str) -> None:
    """Print as JSON the seconds and answers of each workload's parts, the peak memory, and the seconds to the first score."""
    work = json.loads(Path(file).read_text("utf-8"))
    model.loglikelihood(instances([("The capital of France is", [" Paris"])], False), disable_tqdm=True)
    done: dict[str, Any] = {"startup": startup_seconds(), "seconds": {}, "answers": {}}
    for each in work:
        seconds, answers = [], []
        for items in each["parts"]:
            requests = instances(items, each["generated"])
            begun = time.monotonic()
            if each["generated"]:
                answers.append(model.generate_until(requests, disable_tqdm=True))
            else:
                answers.append([logprob for logprob, _ in model.loglikelihood(requests, disable_tqdm=True)])
            seconds.append(time.monotonic() - begun)
        done["seconds"][each["key"]], done["answers"][each["key"]] = seconds, answers
    print(json.dumps(done | {"peak": peak_bytes()}))
