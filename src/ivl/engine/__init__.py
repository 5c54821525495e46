"""Tokens in, tokens out. Sees no text and no pictures."""

from ivl.engine.engine import Engine
from ivl.engine.plain import PlainEngine
from ivl.engine.request import Request, SamplingParams, TokenOutput

__all__ = ["Engine", "PlainEngine", "Request", "SamplingParams", "TokenOutput"]
