"""What goes wrong with a hub, as one line that says what to do; and what is worth another try.

In: whatever a hub's package raised. Out: HubError, or the seconds to wait. Knows the faults of httpx and requests by
their names only, so that none of these packages is imported here. No message holds a signed address or a token.
"""

import errno
import re

from ivl.errors import HubError
from ivl.hub.repository import Wanted

MAX_WAIT = 300.0
"""A hub that asks for more seconds than this is not waited for."""
_NETWORK = ("httpx", "httpcore", "requests", "urllib3")
_OFFLINE = "HF_HUB_OFFLINE is set"
"""What is raised where it is, which waiting does not change."""
_FOODIEQA = "lyan62/foodieqa"
_ADDRESS = re.compile(r"(https?://[^/\s'\"]+)/[^\s'\"]*")


def is_network_fault(fault: BaseException) -> bool:
    """Whether the hub could not be reached, or could not answer."""
    status = status_of(fault)
    if status is not None:
        return status >= 500 or status == 429
    return any(
        type(cause).__module__.startswith(_NETWORK) or isinstance(cause, ConnectionError | TimeoutError)
        for cause in _causes(fault)
    )


def wait_before_retry(fault: BaseException, attempt: int) -> float | None:
    """Seconds after which a call that failed is worth another try; None where it is not. attempt: 0, 1, 2, ...

    A hub that says for how long (429 with Retry-After) is believed, up to MAX_WAIT.
    """
    if not is_network_fault(fault) or any(_OFFLINE in str(cause) for cause in _causes(fault)):
        return None
    asked = asked_to_wait(fault)
    if asked is not None:
        return asked + 1.0 if asked <= MAX_WAIT else None
    return min(2.0**attempt, 30.0)


def asked_to_wait(fault: BaseException) -> float | None:
    """The seconds in the hub's Retry-After; None without any."""
    for cause in _causes(fault):
        headers = getattr(getattr(cause, "response", None), "headers", None)
        text = str(headers.get("Retry-After", "")).strip() if headers is not None else ""
        text = text or str(getattr(cause, "retry_after", ""))  # as modelscope keeps it
        if text.isdecimal() and len(text) < 10:
            return float(text)
    return None


def explain(fault: BaseException, wanted: Wanted, endpoint: str, *, has_token: bool = False) -> HubError:
    """One line for what went wrong with a download, with what to do about it."""
    name, status, model = name_of(fault), status_of(fault), wanted.model_id
    tool = login_command(wanted.hub)
    if is_disk_full(fault):
        return HubError(f"no space left on the disk while {model} was fetched: free some, or set HF_HUB_CACHE")
    if name == "GatedRepoError" or status == 403:
        return HubError(explain_gated(wanted, endpoint, has_token))
    if name == "RevisionNotFoundError":
        return HubError(f"{model} has no revision {wanted.revision!r} on {endpoint}: give a branch, tag or commit")
    if name in ("RepositoryNotFoundError", "NotExistError") or status == 404:
        return HubError(
            f"{endpoint} has no {wanted.noun} {model}, or it is private: check the name, or log in with `{tool}`"
        )
    if status == 401:
        return HubError(f"{endpoint} refuses the token: log in again with `{tool}`")
    if status == 429:
        return HubError(f"{endpoint} answers no more requests for now (429){_for_how_long(fault)}")
    if is_network_fault(fault) or name == "LocalEntryNotFoundError":
        return HubError(
            f"{model}@{wanted.revision} is not whole in the cache and {endpoint} is out of reach ({name}): "
            "check the network, or give a local folder"
        )
    return HubError(f"{model} could not be fetched from {endpoint} ({name}): try again")


def explain_gated(wanted: Wanted, endpoint: str, has_token: bool) -> str:
    """What to request, where, and how to log in."""
    page, tool = wanted.page(endpoint), login_command(wanted.hub)
    steps = f"ask for access on {page}, then log in with `{tool}` and a token that may read"
    if has_token:
        steps = (
            f"the account of this token has no access: log in to {page} with it, ask for access and wait until it is "
            f"granted (a fine-grained token also needs leave to read gated repositories), or use another: `{tool}`"
        )
    if wanted.model_id.lower() == _FOODIEQA:
        steps += (
            ". This is the 403 of the tutorial: FoodieQA's authors give it for evaluation and research only "
            "(CC BY-NC-ND 4.0). Without it `ivl tutorial` goes the same way with the package's own pictures"
        )
    return f"{wanted.model_id} is gated: {steps}"


def explain_renamed(wanted: Wanted, now: str) -> HubError:
    """A name that leads to another repository: said, because who owns the old name can lead it anywhere."""
    return HubError(f"{wanted.model_id} is called {now!r} now: ask for that name if it is the one you mean")


def login_command(hub: str) -> str:
    """What logs a person in."""
    return "hf auth login" if hub == "huggingface" else "modelscope login"


def name_of(fault: BaseException) -> str:
    """The name of the fault that others were made of, as far as it says more."""
    named = [cause for cause in _causes(fault) if type(cause) is not RuntimeError]
    return type(named[0] if named else fault).__name__


def status_of(fault: BaseException) -> int | None:
    """The HTTP status behind a fault."""
    for cause in _causes(fault):
        for status in (
            getattr(getattr(cause, "response", None), "status_code", None),
            getattr(cause, "status_code", None),
        ):
            if isinstance(status, int):
                return status
    return None


def is_disk_full(fault: BaseException) -> bool:
    """Whether the disk has no room left."""
    return any(isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT) for cause in _causes(fault))


def without_secrets(text: str) -> str:
    """A text with no more of its addresses than the host: the rest may be signed, and is long."""
    return _ADDRESS.sub(r"\1/...", text)


def _causes(fault: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = fault
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _for_how_long(fault: BaseException) -> str:
    asked = asked_to_wait(fault)
    how = f": try again in {asked:.0f} seconds" if asked is not None else ": try again in some minutes"
    return f"{how}, or log in, which allows more"
