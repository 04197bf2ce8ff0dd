"""Content negotiation: bodies are plain JSON, answers are JSON, a page or a stream; 406 and 415 for anything else."""

from typing import Any

from litestar import Request

from tidelog.api.http.parameters import known_only
from tidelog.api.http.problems import Refused

__all__ = ["ANY_CONTENT_TYPE", "admit"]

JSON = ("application/json", "application/*", "*/*")
STREAM = "text/event-stream"
ANY_CONTENT_TYPE = "any_content_type"  # a route's `opt`: it accepts a body of any content type


async def admit(request: Request[Any, Any, Any]) -> None:
    """Refuse content types that no route takes or gives, and unknown parameters; runs after the route's guard."""
    _check_accept(request)
    _check_content_coding(request)
    _check_content_type(request)
    await known_only(request)


def _check_accept(request: Request[Any, Any, Any]) -> None:
    accept = request.headers.get("accept")
    if not accept or not request.scope["path"].startswith("/v1/"):
        return
    taken = [each.partition(";") for each in accept.split(",")]
    names = {name.strip().lower() for name, _, weight in taken if weight.strip().replace(" ", "") not in _NEVER}
    if not names.intersection(JSON) and STREAM not in names:
        raise Refused(406, "accept: answers are application/json")


_NEVER = ("q=0", "q=0.0", "q=0.00", "q=0.000")


def _check_content_coding(request: Request[Any, Any, Any]) -> None:
    """A body that is compressed would be told to be no JSON, which is not what is wrong with it (RFC 9110, 15.5.16)."""
    given = request.headers.get("content-encoding", "").strip().lower()
    if request.scope["method"] == "POST" and given not in ("", "identity"):
        said = "content-encoding: a body has to come as it is, not compressed"
        raise Refused(415, said, headers={"accept-encoding": "identity"})


def _check_content_type(request: Request[Any, Any, Any]) -> None:
    if request.scope["method"] != "POST" or request.scope["route_handler"].opt.get(ANY_CONTENT_TYPE):
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise Refused(415, "content-type: a body has to be application/json")
