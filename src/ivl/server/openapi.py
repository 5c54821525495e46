"""The OpenAPI document: FastAPI's, with the requests' schemas, examples and errors.

In: the app. Out: plain values for JSON. Knows no pipeline.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from ivl.server.schema import ChatRequest, CompletionRequest

ABOUT = (
    "OpenAI's API for one InternVL2 model and its adapters. Without any sampling field (temperature, top_p, top_k, "
    "min_p) answers are greedy."
)
_SQUARE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAE0lEQVR4nGP8v5QBK2DCLjxYJQBM7g"
    "G0qfKk0wAAAABJRU5ErkJggg=="
)
_BLINKING = (
    "data:image/gif;base64,R0lGODlhCAAIAIEAAOY8KAAAAAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAh+QQAMgAAACwAAAAACAAIAAAIDwABCBxIsKDB"
    "gwgTKkwYEAAh+QQBMgACACwAAAAACAAIAIEoWtwAAAAAAAAAAAAIDwABCBxIsKDBgwgTKkwYEAA7"
)
_CHAT_EXAMPLES: dict[str, dict[str, Any]] = {
    "a text": {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 64},
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": _SQUARE}},
                    {"type": "text", "text": "What colour is it?"},
                ],
            }
        ],
    },
    "a video": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "video_url", "video_url": {"url": _BLINKING, "num_frames": 2}},
                    {"type": "text", "text": "What changes?"},
                ],
            }
        ],
    },
    "a stream": {
        "messages": [{"role": "user", "content": "Hello!"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "seed": 1,
    },
    "JSON of a schema": {
        "messages": [{"role": "user", "content": "Name a dish and its country."}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "dish",
                "schema": {
                    "type": "object",
                    "properties": {"dish": {"type": "string"}, "country": {"type": "string"}},
                    "required": ["dish", "country"],
                    "additionalProperties": False,
                },
            },
        },
    },
}
_COMPLETION_EXAMPLES: dict[str, dict[str, Any]] = {
    "a text": {"prompt": "A bowl of rice and", "max_tokens": 16},
    "several": {"prompt": ["A bowl of rice and", "A cup of"], "max_tokens": 16, "n": 2, "temperature": 0.7},
    "ids of tokens": {"prompt": [1, 2, 3], "max_tokens": 16},
}
_ERRORS = {
    "400": "The request cannot be done as it is; `param` names the field.",
    "401": "No key, or nobody's.",
    "404": "No such model.",
    "408": "The request did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body is encoded.",
    "429": "No room now; `Retry-After` says when to come again.",
    "503": "The server is ending, or its model has failed.",
}


def chat_body() -> dict[str, Any]:
    """What FastAPI cannot see of the route, because the body is read with limits."""
    return _body("ChatRequest", _CHAT_EXAMPLES)


def completion_body() -> dict[str, Any]:
    """As `chat_body`."""
    return _body("CompletionRequest", _COMPLETION_EXAMPLES)


def errors(*statuses: str) -> dict[str, Any]:
    """Of a route, those among its responses that are no success."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    told: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, schemas = models_json_schema(
        [(ChatRequest, "validation"), (CompletionRequest, "validation")], ref_template="#/components/schemas/{model}"
    )
    error = {
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "null"]},
        },
    }
    components = told.setdefault("components", {}).setdefault("schemas", {})
    components |= schemas["$defs"]
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    for methods in told["paths"].values():
        for route in methods.values():
            route["responses"].pop("422", None)  # what FastAPI would answer by itself
    components["Error"] = {"type": "object", "required": ["error"], "properties": {"error": error}}
    told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    told["security"] = [{"key": []}, {}]
    return told


def _body(schema: str, examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    shown = {name: {"value": value} for name, value in examples.items()}
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": shown}
    answer = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {},
    }
    responses = errors(*_ERRORS)
    responses["200"] = {"description": "The answers, whole or as server-sent events.", "content": answer}
    return {"requestBody": {"required": True, "content": {"application/json": content}}, "responses": responses}
