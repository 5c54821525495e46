"""Tools are refused in plain words: the chat templates of these models have no place for them."""

from typing import Any

import openai
import pytest

from ivl.processing.template import TEMPLATES
from server.conftest import Live

USER = {"role": "user", "content": "How warm is it in Chengdu?"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "30 degrees"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "none"}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [USER, CALLED]}, "messages[1].tool_calls"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}, RESULT]}, "messages[2].role"),
    ],
)
def test_tools_are_refused_by_name(live: Live, body: dict[str, Any], param: str) -> None:
    with live.openai() as client, pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": "small", "messages": [USER], **body})
    template = live.state.pipe.processor.template.name
    assert f"{param} cannot be used with this model: its chat template, {template}, has no place" in str(raised.value)
    assert (raised.value.param, raised.value.code) == (param, "unsupported")


def test_what_has_nothing_to_do_with_tools_goes_through(live: Live) -> None:
    assert live.ask(tools=[], tool_choice="auto", parallel_tool_calls=True, max_tokens=1).status_code == 200
    answered = {"role": "assistant", "content": "x", "tool_calls": []}
    assert live.ask(messages=[USER, answered, USER], max_tokens=1).status_code == 200


def test_no_official_template_has_a_role_for_them() -> None:
    """Where one is added that has, this server has to pass tools on."""
    for template in TEMPLATES.values():
        assert set(vars(template.openings)) == {"system", "user", "assistant"}
