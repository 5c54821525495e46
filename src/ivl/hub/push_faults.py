"""What goes wrong while files are sent to a hub, as one line that says what to do.

In: whatever a hub's package raised. Out: HubError. No message holds a token, or what a server said.
"""

from ivl.errors import HubError
from ivl.hub.faults import asked_to_wait, is_network_fault, login_command, name_of, status_of
from ivl.hub.sending import Target

_TOKEN_PAGES = {"huggingface": "/settings/tokens", "modelscope": "/my/myaccesstoken"}
_VARIABLES = {"huggingface": "HF_TOKEN", "modelscope": "MODELSCOPE_API_TOKEN"}


def no_token(target: Target, endpoint: str) -> HubError:
    """Nobody is logged in."""
    return HubError(f"no token for {endpoint}: {_how_to_log_in(target, endpoint)}")


def explain_push(fault: BaseException, target: Target, endpoint: str) -> HubError:
    """One line for what went wrong, with what to do about it."""
    status, name, repository = status_of(fault), name_of(fault), target.repo_id
    owner = repository.partition("/")[0]
    if status == 401:
        return HubError(f"{endpoint} refuses the token: {_how_to_log_in(target, endpoint)}")
    if status == 403:
        return HubError(
            f"{endpoint} does not let this token write to {repository}: is {owner!r} you or an organisation you may "
            f"write to, and may the token write? {_how_to_log_in(target, endpoint)}"
        )
    if name == "RevisionNotFoundError":
        return HubError(f"{repository} has no branch {target.revision!r} on {endpoint}, and it could not be made")
    if status == 404:
        return HubError(
            f"{endpoint} has no {repository}, and it could not be made: check the name and the token's rights"
        )
    if status in (409, 412):
        return HubError(f"somebody else changed {repository} meanwhile: look at it, then push again")
    if status == 413 or status == 507:
        return HubError(
            f"{endpoint} has no room for these files ({status}): look at your storage on {endpoint}/settings"
        )
    if status == 429:
        asked = asked_to_wait(fault)
        when = f"in {asked:.0f} seconds" if asked is not None else "in some minutes"
        return HubError(f"{endpoint} takes no more requests for now (429): push again {when}, it goes on where it was")
    if is_network_fault(fault):
        return HubError(
            f"{endpoint} is out of reach or cut the connection ({name}{f' {status}' if status else ''}): push again, "
            "what has arrived is not sent again"
        )
    return HubError(
        f"{repository} could not be pushed to {endpoint} ({name}{f' {status}' if status else ''}): push again"
    )


def _how_to_log_in(target: Target, endpoint: str) -> str:
    return (
        f"make one that may write on {endpoint}{_TOKEN_PAGES[target.hub]}, then `{login_command(target.hub)}` or set "
        f"{_VARIABLES[target.hub]}"
    )
