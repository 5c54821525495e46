"""Tokens in, tokens out. Sees no text and no pictures."""

from ivl.engine.engine import EngineCore, EngineStats
from ivl.engine.request import Request, SamplingParams, TokenMask, TokenOutput
from ivl.engine.worker import EngineWorker

__all__ = ["EngineCore", "EngineStats", "EngineWorker", "Request", "SamplingParams", "TokenMask", "TokenOutput"]
