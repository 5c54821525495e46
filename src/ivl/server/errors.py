"""Errors as OpenAI's clients expect them: a status and a body `{"error": {message, type, param, code}}`.

In: whatever went wrong. Out: an ApiError. What a client did not cause is told without its cause: no path, no address
and no exception's text leaves the server.
"""

import re
from typing import Any

from pydantic import ValidationError

from ivl.errors import (
    AdapterError,
    ContextLengthError,
    EngineError,
    ImageError,
    InputError,
    IvlError,
    MissingExtraError,
    SettingsError,
    nearest,
    shown,
)

# What the session calls a setting -> what requests call it.
_FIELDS = {
    "max_new_tokens": "max_tokens",
    "random_seed": "seed",
    "stop_words": "stop",
    "session_len": "the server's session length",
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer that is no success. retry_after_s: told to the client. type follows from the status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or ("invalid_value" if status == 400 else None)
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        """What the client reads."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Beside the usual ones."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status in (408, 413):  # the rest of the request is not read
            headers["Connection"] = "close"
        return headers


def api_error(error: BaseException, *, is_alive: bool = True) -> ApiError:
    """What a client is told of an error. is_alive: whether the engine still takes requests."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ValidationError):
        return _invalid(error)
    if isinstance(error, AdapterError):
        return ApiError(404, "the adapter that this model name stands for is not loaded", code="model_not_found")
    if isinstance(error, ContextLengthError):
        return ApiError(400, _told(error), code="context_length_exceeded", param="messages")
    if isinstance(error, ImageError):
        return ApiError(400, _told(error), code="invalid_image", param="messages")
    if isinstance(error, InputError):
        return ApiError(400, _told(error), code="invalid_prompt", param="messages")
    if isinstance(error, SettingsError):
        message = _told(error)
        field = re.match(r"[a-z_]+", message)
        return ApiError(400, message, code="invalid_value", param=field[0] if field else None)
    if isinstance(error, MissingExtraError):
        return ApiError(400, "this server was installed without what this needs: " + _told(error), code="unsupported")
    if isinstance(error, EngineError) and not is_alive:
        return ApiError(503, "the model has failed and the server takes no more requests", code="engine_failed")
    if isinstance(error, EngineError) and "not enough memory" in str(error):
        return ApiError(500, "not enough memory for this request: give fewer or smaller images", code="out_of_memory")
    return ApiError(500, "the server failed on this request; its log says where", code="internal_error")


def _told(error: IvlError) -> str:
    """The message in the words of a request, without addresses."""
    text = re.sub(r"0x[0-9a-fA-F]{4,}", "0x...", str(error))
    for ours, theirs in _FIELDS.items():
        text = re.sub(rf"\b{ours}\b", theirs, text)
    return text


def _invalid(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a request, and where it stands."""
    first = error.errors(include_url=False, include_context=False)[0]
    # Names of alternatives stand among the names of fields; they are written like this.
    names = [str(part) for part in first["loc"] if not str(part).startswith("as ")]
    where = "".join(f"[{name}]" if name.isdecimal() else f".{name}" for name in names).lstrip(".")
    kind, got = first["type"], first.get("input")
    if kind == "json_invalid":
        return ApiError(400, f"the body is no JSON: {first['msg'].partition(': ')[2][:200]}", code="invalid_json")
    if kind == "extra_forbidden":
        allowed = _siblings(error.title, names)
        hint = f": {nearest(names[-1], allowed)}" if allowed else ""
        return ApiError(400, f"{where[:200]} is no field of this request{hint}", code="unknown_parameter", param=where)
    if kind == "missing":
        return ApiError(400, f"{where} is missing", code="missing_required_parameter", param=where)
    message = first["msg"][:1].lower() + first["msg"][1:]
    value = f"={shown(got)}" if isinstance(got, str | int | float | bool | None) else ""
    return ApiError(400, f"{where or 'the body'}{value} is not allowed: {message}", code="invalid_value", param=where)


def _siblings(title: str, names: list[str]) -> list[str]:
    """The fields of the request with this title, for one of its own that is misspelt."""
    from ivl.server import schema

    model = getattr(schema, title, None)
    return list(model.model_fields) if model is not None and len(names) == 1 else []
