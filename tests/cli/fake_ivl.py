"""The command line with a model that needs no weights: it says "one two three ..." about everything.

Run as a program, it is `ivl` on the terminal that it is started on.
"""

import sys
import time
from types import ModuleType, SimpleNamespace

from ivl.types import ImagePart, Message, Response, TextPart

WORDS = ["one ", "two ", "three ", "four ", "five"]


class FakeSession:
    """Keeps its history as a real one does: also when the answer is stopped."""

    def __init__(self, pipe, system):
        self.pipe, self.messages, self.response = pipe, (), None
        if system is not None:
            self.messages = (Message(role="system", parts=(TextPart(text=system),)),)

    def stream(self, prompt, gen_config=None):
        self.pipe.asked.append((prompt, gen_config))
        if isinstance(self.pipe.fault, Exception):
            raise self.pipe.fault
        text, images = prompt if isinstance(prompt, tuple) else (prompt, [])
        parts = (*(ImagePart(source=image) for image in images), TextPart(text=text))
        said = []
        try:
            for count, word in enumerate(WORDS[: gen_config.max_new_tokens], 1):
                time.sleep(self.pipe.delay)
                said.append(word)
                cut = "length" if count == gen_config.max_new_tokens else None
                finish = cut or ("stop" if count == len(WORDS) else None)
                yield Response(text=word, finish_reason=finish, input_token_len=7, generate_token_len=count)
        finally:
            answer = Message(role="assistant", parts=(TextPart(text="".join(said)),))
            self.messages = (*self.messages, Message(role="user", parts=parts), answer)


class FakePipeline:
    """Takes the place of ivl.session.Pipeline."""

    def __init__(self, delay=0.0):
        self.delay, self.asked, self.fault, self.closed, self.settings = delay, [], None, False, None
        self.processor = SimpleNamespace(as_viewed=True, max_tiles=12)

    def __call__(self, model=None, **settings):
        self.settings = {"model": model, **settings}
        return self

    def session(self, system=None):
        return FakeSession(self, system)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


if __name__ == "__main__":
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C typed on this terminal interrupts this process
    sys.modules["ivl.session"] = ModuleType("ivl.session")
    sys.modules["ivl.session"].pipeline = FakePipeline(delay=0.3)
    from ivl.cli.main import main

    main()
