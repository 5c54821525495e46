"""What all requests of a server share.

In: a pipeline, settings, keys. Out: one object that the routes are handed. Knows no HTTP beyond errors.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from ivl.server.errors import ApiError
from ivl.server.keys import Keys
from ivl.server.limits import Bodies, Gate, Tiles
from ivl.server.logprobs import Logprobs
from ivl.server.meter import Meter
from ivl.server.metrics import Metrics
from ivl.server.record import Record, RequestLog
from ivl.server.settings import ServerSettings
from ivl.session import FetchPolicy, Pipeline
from ivl.types import GenerationConfig, Response


class Stoppable(Protocol):
    """A request under way."""

    @property
    def stop(self) -> Callable[[], object]:
        """Ends it now."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    """An answer under way that no request of the API asked for."""

    stop: Callable[[], object]


@dataclass(kw_only=True)
class State:
    """A server's model, limits and counts. All but the pipeline is touched on the event loop alone."""

    pipe: Pipeline
    settings: ServerSettings
    keys: Keys
    log: RequestLog
    metrics: Metrics = field(default_factory=Metrics)
    is_draining: bool = False
    running: "set[Stoppable]" = field(default_factory=set)
    """Requests for answers that have not ended, and answers of the page."""

    def __post_init__(self) -> None:
        settings = self.settings
        self.gate = Gate(settings)
        self.bodies = Bodies(settings)
        self.tiles = Tiles(settings)
        self.threads = ThreadPoolExecutor(settings.prepare_threads, thread_name_prefix="ivl-serve")
        self.image_limits = settings.image_limits()
        hosts = settings.image_hosts
        self.fetch_policy = FetchPolicy(
            enabled=bool(hosts), allowed_hosts=hosts or None, max_bytes=settings.max_image_bytes
        )

    @property
    def is_alive(self) -> bool:
        """Whether the engine takes requests."""
        return self.pipe.engine.failure is None

    def adapter(self, model: str | None) -> tuple[str, str | None]:
        """The served name and the adapter that a request's `model` means; None: the base. Raises ApiError, 404."""
        if model is None or model == self.settings.name:
            return self.settings.name, None
        if model in self.settings.adapters:
            return model, model
        raise ApiError(
            404, "there is no such model here: GET /v1/models lists them", code="model_not_found", param="model"
        )

    def logprobs(self, gen_config: GenerationConfig) -> Logprobs:
        """How this model's tokens are written."""
        processor = self.pipe.processor
        ends = frozenset[int]() if gen_config.ignore_eos else processor.serving_stop_token_ids
        return Logprobs(processor.tokenizer, ends)

    @contextmanager
    def beside(self, model: str, stop: Callable[[], object]) -> Iterator[Callable[[Response], None]]:
        """An answer that the page gives: ending waits for it as for others, and calls `stop` where it takes too long.

        model: one of the served names. Gives what is to be called with each piece, for the metrics.
        """
        answer = Beside(stop=stop)
        self.running.add(answer)
        try:
            yield Meter(self.metrics, Record(model=model), model, 1).note
        finally:
            self.running.discard(answer)

    def check_running(self) -> None:
        """Raise ApiError, 503, where the server takes no more requests."""
        if self.is_draining:
            raise ApiError(503, "the server is ending: ask another one", code="draining", retry_after_s=5)
        if not self.is_alive:
            raise ApiError(503, "the model has failed and the server takes no more requests", code="engine_failed")
