"""The process that llama.cpp runs in: ``python -m etymon.serve.engine.llama_child``, started by ``LlamaEngine``.

Its order is one line of JSON on standard input, which stays open: its end means that the parent is gone, and this process
ends. It answers with one line on standard output, the address; all that llama.cpp has to say goes to standard error.
"""

import json
import os
import sys
import threading
from typing import Any


def main() -> None:
    order = json.loads(_line_from(0))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)
    server = _server(order)
    os.write(answer, json.dumps({"address": server.listening_address}).encode() + b"\n")
    os.close(answer)
    threading.Event().wait()


def _line_from(file: int) -> bytes:
    """Without a buffer, for a thread that waits in a buffered read would hold its lock when the process ends."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(file, 1)
        if not piece:
            sys.exit(1)
        line += piece
    return line


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)  # llama.cpp's own threads do not end by themselves


def _server(order: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["path"]
    params.model_alias = {order["name"]}
    params.api_keys = [order["key"]]  # nobody else on this machine may go past the gateway
    params.n_parallel = order["parallel"]
    params.n_ctx = order["context"] * order["parallel"]
    if order["threads"]:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order["threads"]
    params.n_threads_http = order["connections"]
    params.verbosity = 1  # errors: at the default of 3 it would also write what it is asked
    params.ui = params.endpoint_slots = False
    params.fit_params = False  # what was asked for, or an error
    if order["embeddings"]:
        params.embedding = True
        params.n_batch = params.n_ubatch = order["context"]  # an input is embedded in one piece
        params.kv_unified = True  # else inputs of unequal lengths are cut, and the mean is that of an input's last piece
        if not order["pooled"]:
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
