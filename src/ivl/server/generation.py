"""A request's words about its answers -> the session's GenerationConfig.

In: checked requests. Out: settings; ApiError and SettingsError for what does not go together. Knows no prompt.
"""

from ivl.server.errors import ApiError
from ivl.server.schema import ChatRequest, CompletionRequest
from ivl.server.settings import ServerSettings
from ivl.types import GenerationConfig


def generation_config(
    request: ChatRequest | CompletionRequest, settings: ServerSettings, session_len: int
) -> GenerationConfig:
    """How the answers are generated. session_len: tokens of prompt and answer together, at most."""
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "stream_options is allowed with stream=true only", param="stream_options")
    count = request.n or 1
    if count > settings.max_n:
        raise ApiError(400, f"n={count} is not allowed: at most {settings.max_n} answers are given here", param="n")
    return GenerationConfig(
        max_new_tokens=_max_tokens(request, settings, session_len),
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        min_p=request.min_p,
        repetition_penalty=1.0 if request.repetition_penalty is None else request.repetition_penalty,
        stop_words=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        random_seed=None if request.seed is None else request.seed % 2**63,
        min_new_tokens=request.min_new_tokens,
        ignore_eos=bool(request.ignore_eos),
        n=count,
        logprobs=_num_logprobs(request),
        choice=None if request.choice is None else tuple(request.choice),
        regex=request.regex,
        response_format=request.response_format,
    )


def _max_tokens(request: ChatRequest | CompletionRequest, settings: ServerSettings, session_len: int) -> int:
    name, asked = "max_tokens", request.max_tokens
    if isinstance(request, ChatRequest) and request.max_completion_tokens is not None:
        if asked is not None and asked != request.max_completion_tokens:
            raise ApiError(
                400, "max_tokens and max_completion_tokens differ: give one of them", param="max_completion_tokens"
            )
        name, asked = "max_completion_tokens", request.max_completion_tokens
    most = settings.most_tokens(session_len)
    if asked is None:
        # A small limit must not make a request invalid that set none; a minimum that it did set must fit.
        return min(most, max(settings.default_max_tokens, request.min_new_tokens or 0))
    if asked > most:
        raise ApiError(400, f"{name}={asked} is not allowed: at most {most} tokens are given here", param=name)
    return asked


def _num_logprobs(request: ChatRequest | CompletionRequest) -> int | None:
    """How many likely tokens are reported beside each; None reports nothing."""
    if isinstance(request, CompletionRequest):
        if request.best_of is not None and request.best_of != (request.n or 1):
            raise ApiError(400, "best_of is allowed only where it is n: all answers are given", param="best_of")
        return request.logprobs
    if request.top_logprobs and not request.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs=true", param="top_logprobs")
    return (request.top_logprobs or 0) if request.logprobs else None
