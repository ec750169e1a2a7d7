"""The likelihood of a whole text, however long: it is cut into windows, and every token is predicted exactly once."""

from collections.abc import Sequence

from etymon.evaluate.tree import TokenRequest


def rolling_requests(ids: Sequence[int], start: int, longest: int) -> list[TokenRequest]:
    """Windows over a text's tokens, fed at most ``longest`` tokens each, as lm-eval's ``hf`` cuts them.

    The first window begins with the ``start`` token. The last one reaches back, so that its tokens see as much of the text
    as the model's context holds.
    """
    ids = tuple(ids)
    if not ids:
        return []
    requests = [TokenRequest((start,), ids[:longest])]
    done = len(requests[0].continuation)
    while done < len(ids):
        end = min(done + longest, len(ids))
        requests.append(TokenRequest(ids[end - longest - 1 : done], ids[done:end]))
        done = end
    return requests
