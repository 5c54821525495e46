"""Tools: why this server refuses them.

In: a request for a chat. Out: ApiError where it has to do with tools. Knows no template but its name.

Tools reach a model through a place in its chat template. The templates that InternVL was trained with (internlm2-chat,
Hermes-2, phi3-chat and internvl2_5 in conversation.py of https://github.com/OpenGVLab/InternVL) have the roles system,
user and assistant, and no place for tools. A language model's own template may have one, but it is not the one that
these models were trained with; another prompt in its stead would be a guess, so it is not made.
"""

from ivl.server.errors import ApiError
from ivl.server.schema import ChatRequest


def check_tools(request: ChatRequest, template: str) -> None:
    """Raise ApiError for tools, calls of them and their results. template: the name of the model's chat template."""
    param = "tools" if request.tools else "tool_choice" if request.tool_choice not in (None, "none", "auto") else ""
    for position, message in enumerate(request.messages):
        if not param and message.tool_calls:
            param = f"messages[{position}].tool_calls"
        if not param and message.role == "tool":
            param = f"messages[{position}].role"
    if param:
        raise ApiError(
            400,
            f"{param} cannot be used with this model: its chat template, {template}, has no place for tools; describe "
            "them in a message, and give response_format a schema for the call that is to come back",
            code="unsupported",
            param=param,
        )
