"""What a request's body is written in, and what its answer may be written in: JSON, but for pages and streams."""

from typing import Any

from litestar import Request

from tidelog.api.parameters import known_only
from tidelog.api.problems import Refused

__all__ = ["ANY_CONTENT_TYPE", "admit"]

JSON = ("application/json", "application/*", "*/*")
STREAM = "text/event-stream"
ANY_CONTENT_TYPE = "any_content_type"  # a route's `opt` by which it takes a body whatever it is said to be


async def admit(request: Request[Any, Any, Any]) -> None:
    """Refuse what no route could answer; runs before each route, after its guard."""
    _check_accept(request)
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


def _check_content_type(request: Request[Any, Any, Any]) -> None:
    if request.scope["method"] != "POST" or request.scope["route_handler"].opt.get(ANY_CONTENT_TYPE):
        return
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise Refused(415, "content-type: a body has to be application/json")
