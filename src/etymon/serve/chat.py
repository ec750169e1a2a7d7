"""Conversations with a model, or with two at once."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.prompt import Message, context_length, prompt_ids
from etymon.serve.answer import AnswerSettings, answer


@dataclass
class Conversation:
    """A model and what was said so far."""

    name: str
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    settings: AnswerSettings
    notice: Callable[[str], None]
    """Told, in a sentence, what the user should know beside the answer."""
    messages: list[Message] = field(default_factory=list)
    ended: bool = True
    """Whether the model ended its last answer; it was cut off where not."""

    def say(self, text: str) -> Generator[str]:
        """The answer to ``text``, piece by piece.

        What was said is remembered, up to where an answer was stopped; a question that got no word of an answer is not.
        The oldest turns are forgotten when the context is full. Raises EtymonError where ``text`` alone does not fit.
        """
        asked = self._fitting([*self.messages, {"role": "user", "content": text}])
        said, self.ended = "", False
        stream = answer(self.network, self.tokenizer, asked, self.settings)
        try:
            for piece in self._until_its_end(stream):
                said += piece
                yield piece
        finally:
            if said:
                self.messages = [*asked, {"role": "assistant", "content": said}]

    def _until_its_end(self, stream: Generator[str, None, bool]) -> Generator[str]:
        self.ended = yield from stream

    def _fitting(self, messages: list[Message]) -> list[Message]:
        """The newest turns that leave room for an answer, or for half a context of it."""
        context = context_length(self.network)
        wanted = min(self.settings.tokens, context // 2)
        kept = messages
        while len(kept) > 2 and len(prompt_ids(self.tokenizer, kept)) + wanted > context:
            kept = kept[2:]  # a question and its answer
        if forgotten := (len(messages) - len(kept)) // 2:
            turns = "turn does" if forgotten == 1 else f"{forgotten} turns do"
            self.notice(f"{self.name}: the oldest {turns} not fit into its context of {context} tokens and left it.")
        return kept


def open_conversation(model: Model, settings: AnswerSettings, notice: Callable[[str], None]) -> Conversation:
    """Load a model to talk to. Raises EtymonError where it cannot be loaded."""
    tokenizer = load_tokenizer(model)
    if not tokenizer.chat_template:
        notice(f"{model.name} has no chat template: it continues your text and does not know that it is asked something.")
    return Conversation(model.name, load_network(model), tokenizer, settings, notice)


def answers_beside(conversations: Sequence[Conversation], text: str) -> Generator[tuple[int, str]]:
    """Ask several models the same: (which one, piece of its answer), in turns, so that the answers grow side by side."""
    answers = [conversation.say(text) for conversation in conversations]
    speaking = list(enumerate(answers))
    try:
        while speaking:
            for which, stream in tuple(speaking):
                piece = next(stream, None)
                if piece is None:
                    speaking.remove((which, stream))
                else:
                    yield which, piece
    finally:
        for stream in answers:
            stream.close()
