"""The engine: one synchronous core. Requests come in, each step gives every running answer its next token.

In: `Request`s. Out: `TokenOutput`s, or the error that ended a request. Knows no threads: `worker` runs it on one. What
goes wrong in one request ends that request alone.

    engine = EngineCore(model, EngineConfig())
    request_id = engine.add(request)
    while engine.has_work:
        for request_id, output in engine.step(): ...
"""

import traceback
from dataclasses import dataclass

import torch
from torch import Tensor

from ivl.engine.admission import admit
from ivl.engine.block_pool import BlockPool
from ivl.engine.feature_cache import FeatureCache
from ivl.engine.memory import num_blocks
from ivl.engine.paged_attention import KVCache
from ivl.engine.request import Request, TokenOutput
from ivl.engine.runner import Runner
from ivl.engine.sampler import Choice, choose
from ivl.engine.scheduler import Scheduler
from ivl.engine.sequence import Chunk, Sequence
from ivl.engine.tile_encoder import TileEncoder
from ivl.errors import AdapterError, EngineError, IvlError
from ivl.model.adapter_io import Adapter
from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL
from ivl.model.lora import AdapterSet
from ivl.types import EngineConfig, FinishReason

Outcome = TokenOutput | IvlError


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """Counts since the engine was made, and what it holds now."""

    running: int
    waiting: int
    num_blocks: int
    free_blocks: int
    feature_bytes: int
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens that were found in the cache."""
    generated_tokens: int
    preemptions: int
    encoded_tiles: int
    cached_tiles: int


class EngineCore:
    """Continues many prompts at once.

    model: fused already, if it shall be (`apply_fused`). blocks: of the key-value cache; None: what memory allows.
    Raises EngineError when there is no memory for the cache.
    """

    def __init__(self, model: InternVL, config: EngineConfig, *, blocks: int | None = None) -> None:
        text, like = model.config.text, model.language_model.embed_tokens.weight
        self.config = model.config
        self.session_len = config.session_len
        self.block_size = config.block_size
        adapters = AdapterSet(model)
        self.features = FeatureCache(config.vision_cache_bytes)
        tiles = TileEncoder(model, adapters, self.features, _tiles_at_once(model.config, like.device))
        blocks = blocks or num_blocks(config, text, like.device, like.dtype)
        cache = KVCache(text, blocks, config.block_size, like)
        self._runner: Runner | None = Runner(model, adapters, cache, tiles, config)
        max_prefill = config.max_prefill_token_num or (1024 if like.is_cpu else 8192)
        self.scheduler = Scheduler(
            BlockPool(blocks), config.max_batch_size, max_prefill, share_prefixes=config.enable_prefix_caching
        )
        self._rope_key = model.language_model.rope.key
        self._sequences: dict[int, Sequence] = {}
        self._retiring: set[str] = set()
        self._num_added = self._prompt_tokens = self._generated_tokens = 0

    def prepare(self, request: Request) -> Sequence:
        """Check a request and make what the engine works on; may be called on any thread.

        An answer that could outgrow the session or the cache ends there. Raises ContextLengthError when the prompt
        leaves no room for an answer, InputError when tiles and image tokens do not match.
        """
        capacity = self.scheduler.pool.num_blocks * self.block_size
        config = self.config
        request = admit(request, config, self.session_len, capacity)
        return Sequence(request, config.image_token_id, config.tokens_per_tile, self.block_size)

    def add(self, request: Request | Sequence) -> int:
        """Let a request wait for its turn; gives the id of its tokens. Raises as `prepare`, and AdapterError."""
        sequence = self.prepare(request) if isinstance(request, Request) else request
        name = sequence.request.adapter
        adapters = self.runner.adapters
        if name in self._retiring:
            raise AdapterError(f"adapter {name!r} is being unloaded: load it again first")
        uid, vision_uid = adapters.uid(name), adapters.vision_uid(name)
        self._num_added += 1
        sequence.enter(self._num_added, uid, vision_uid, self._rope_key(sequence.bound))
        self._sequences[sequence.id] = sequence
        self._prompt_tokens += sequence.num_prompt
        self.scheduler.add(sequence)
        return sequence.id

    @property
    def runner(self) -> Runner:
        """The model and its cache. Raises EngineError once the engine is closed."""
        if self._runner is None:
            raise EngineError("the engine is closed: make a new pipeline")
        return self._runner

    def attach(self) -> None:
        """Make the engine's device the current one of this thread, which is to run the steps."""
        if self.runner.device.type == "cuda":
            torch.cuda.set_device(self.runner.device)

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._sequences)

    @torch.inference_mode()
    def step(self) -> list[tuple[int, Outcome]]:
        """Compute the next step; gives the new token, or the error that ended it, of each request that got one."""
        chunks = self.scheduler.schedule()
        assert chunks or not self._sequences, f"{len(self._sequences)} requests wait and none can run"
        return [(chunk.sequence.id, self._advance(chunk.sequence, choice)) for chunk, choice in self._compute(chunks)]

    def abort(self, request_id: int) -> None:
        """Drop a request and free all it holds; one that has ended already is no error."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            self._remove(sequence)

    def load_adapter(self, name: str, adapter: Adapter) -> None:
        """Make an adapter available to requests. Raises AdapterError, and changes nothing then."""
        if name in self._retiring:
            raise AdapterError(f"adapter {name!r} is being unloaded and still in use: load it once that has ended")
        self.runner.adapters.load(name, adapter)

    def unload_adapter(self, name: str) -> None:
        """Take no more requests for an adapter, and drop it when the last one has ended. Raises AdapterError."""
        self.runner.adapters.uid(name)
        self._retiring.add(name)
        self._retire()

    def check_idle(self) -> None:
        """Assert that an engine without requests holds nothing but what its caches may keep."""
        assert not self.scheduler.waiting, f"{len(self.scheduler.waiting)} sequences wait for ever"
        self.scheduler.check_idle()
        assert self.features.num_bytes <= self.features.max_bytes, "the feature cache is over its budget"

    @property
    def stats(self) -> EngineStats:
        """What happened so far."""
        scheduler, runner = self.scheduler, self._runner
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            num_blocks=scheduler.pool.num_blocks,
            free_blocks=scheduler.pool.num_free,
            feature_bytes=self.features.num_bytes,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=scheduler.num_shared_tokens,
            generated_tokens=self._generated_tokens,
            preemptions=scheduler.num_preemptions,
            encoded_tiles=runner.tiles.num_encoded if runner else 0,
            cached_tiles=runner.tiles.num_cached if runner else 0,
        )

    def close(self) -> None:
        """Drop all requests and let weights and caches go."""
        for sequence in list(self._sequences.values()):
            self._remove(sequence)
        self._runner = None

    def _compute(self, chunks: list[Chunk]) -> list[tuple[Chunk, Choice]]:
        """The next token of every chunk that samples; where the model fails, it fails for the guilty alone."""
        try:
            due, logits = self.runner.run(chunks)
        except Exception as error:
            failure = error
        else:
            return self._sample(chunks, due, logits)
        # Outside of `except`, and without the frames' variables: they would keep what the step had in memory.
        traceback.clear_frames(failure.__traceback__)
        self._recover(failure)
        if len(chunks) == 1:
            return [(chunks[0], Choice(error=_as_ivl_error(failure)))]
        # Nothing was counted as computed yet: either half can be done again.
        half = len(chunks) // 2
        return self._compute(chunks[:half]) + self._compute(chunks[half:])

    def _sample(self, chunks: list[Chunk], due: list[Chunk], logits: Tensor) -> list[tuple[Chunk, Choice]]:
        """The tokens that follow; where drawing them fails as a whole, all that were due fail."""
        for chunk in chunks:
            self.scheduler.computed(chunk)
        try:
            choices = choose(logits, [chunk.sequence.state for chunk in due])
        except Exception as error:
            choices = [Choice(error=_as_ivl_error(error)) for _ in due]
        return list(zip(due, choices, strict=True))

    def _recover(self, error: Exception) -> None:
        """Raises what the device says where it is lost; else makes room after a lack of memory."""
        self.runner.synchronize()
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()

    def _advance(self, sequence: Sequence, choice: Choice) -> Outcome:
        if choice.error is not None:
            self.scheduler.distrust(sequence)
            self._remove(sequence)
            return choice.error
        self.scheduler.publish(sequence)
        sequence.tokens.append(choice.token_id)
        self._generated_tokens += 1
        params = sequence.request.sampling
        finish: FinishReason | None = None
        if choice.token_id in params.stop_token_ids:
            finish = "stop"
        elif len(sequence.tokens) - sequence.num_prompt == params.max_new_tokens:
            finish = "length"
        if finish:
            self._remove(sequence)
        return TokenOutput(
            token_id=choice.token_id, finish_reason=finish, logprob=choice.logprob, num_shared=sequence.num_shared
        )

    def _remove(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        del self._sequences[sequence.id]
        self._retire()

    def _retire(self) -> None:
        """Drop the adapters that were unloaded and that no request uses any more."""
        if self._retiring:
            used = {sequence.request.adapter for sequence in self._sequences.values()}
            for name in self._retiring - used:
                self.runner.adapters.unload(name)
            self._retiring &= used


def _as_ivl_error(error: Exception) -> IvlError:
    """The error for the one whose request failed in the model, the cause chained."""
    if isinstance(error, IvlError):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error):
        told = EngineError("not enough memory for this request: give fewer or smaller images, or a shorter prompt")
    else:
        told = EngineError(f"the model failed on this request: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _tiles_at_once(config: InternVLConfig, device: torch.device) -> int:
    """Tiles in one batch of the vision model: what fills a GPU, what a CPU's caches hold.

    On two cores, tiles of a 86M vision model took 3.5 s each one by one and 3.7 s in fours.
    """
    if device.type != "cpu":
        return 64
    vision = config.vision
    widest = 4 * (1 + vision.patches_per_side**2) * vision.intermediate_size  # bytes of a tile's largest activation
    return max(1, min(4, 2**24 // widest))
