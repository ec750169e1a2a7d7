"""Run by torchrun: rank 0 scores requests with the help of the others and writes the answers down.

Arguments: model folder, requests (json: pairs of context and continuation), where to write.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.tree import TokenRequest
from etymon.foundation.ranks import follow, join, leave, release
from etymon.foundation.sources import open_model

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, requests, answers = sys.argv[1:]
    if not join().first:
        follow()
    else:
        asked = [TokenRequest(tuple(a), tuple(b)) for a, b in json.loads(Path(requests).read_text())]
        scores, usage = open_examinee(open_model(folder), "cpu").scorer.score(asked)
        release()
        found = {"scores": [[score.logprob, score.is_greedy, score.tokens] for score in scores], "usage": asdict(usage)}
        Path(answers).write_text(json.dumps(found))
    leave()
