"""A tiny model, and a service with it that most tests share."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from served import Served
from tiny_gguf import byte_level, write_tiny_gguf

TEMPLATE = """{%- if tools %}<|im_start|>system
Call a function with JSON within <tool_call></tool_call>:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{ '\\n' + message.content }}{% endif %}
{%- for tool_call in message.tool_calls %}
{%- if tool_call.function %}{% set tool_call = tool_call.function %}{% endif %}
{{- '\\n<tool_call>\\n{"name": "' }}{{ tool_call.name }}{{ '", "arguments": ' }}{{ tool_call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a chat template that knows tools."""
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tokenizer=partial(byte_level, template=TEMPLATE))


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """A function that starts a service in the test's own workspace; it is stopped after the test."""
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(tmp_path / "workspace", *arguments))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="session")
def service(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Without keys, for this machine alone."""
    running = Served(tmp_path_factory.mktemp("service"), str(tiny_model), "--context", "512", "--parallel", "4")
    yield running
    running.stop()
