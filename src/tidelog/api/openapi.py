"""The API as OpenAPI 3.1, made from the routes themselves: what a client may send, and what it may get back.

Litestar knows the routes; the shapes come from msgspec, which checks and writes them, so that the document is
as strict as the server is. Every error has one shape, which is defined once in here.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.params import ParameterKwarg
from litestar.types import ControllerRouterHandler
from msgspec import Struct

import tidelog
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.problems import CODES, ErrorAnswer

__all__ = ["document"]

REFERENCE = "#/components/schemas/{name}"
BODY_ERRORS = (413, 415)  # only where a request has a body
DESCRIPTION = """
What tidelog has taken in, read-only. Lists continue by `next`; every answer about a chain says how final it is.
"""
_STREAM = {
    "description": "Server-sent events, without an end: a page that waits for the whole answer shows none.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_BOUNDS = {"minimum": "ge", "maximum": "le", "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}


def document(routes: Sequence[ControllerRouterHandler], options: ApiOptions) -> bytes:
    """The document of these routes, as JSON. Making it takes a tenth of a second: keep it."""
    config = OpenAPIConfig(
        title="tidelog", version=tidelog.__version__, description=DESCRIPTION.strip(), use_handler_docstrings=True
    )
    nothing = Provide(lambda: None, sync_to_thread=False)
    app = Litestar(
        route_handlers=routes,
        dependencies={"backend": nothing},
        openapi_config=config,
        logging_config=None,
    )
    made: dict[str, Any] = app.openapi_schema.to_schema()
    handlers = {
        (route.path_format, method.lower()): handler
        for route in app.routes
        for handler, method in _methods(route)
        if handler.resolve_include_in_schema()
    }
    for path, item in made["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict):
                _describe(operation, handlers[path, method], options)
    components = made.setdefault("components", {})
    shapes = _shapes(list(handlers.values()))
    _limit(shapes, options)
    components["schemas"] = {**components.get("schemas", {}), **shapes}
    components["responses"] = {_name(status): _error(status) for status in CODES}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "tl_..."}}
    made["security"] = [{}, {"token": []}]
    return msgspec.json.encode(made)


def _methods(route: Any) -> list[tuple[HTTPRouteHandler, str]]:
    return [(handler, method) for method, (handler, _) in getattr(route, "route_handler_map", {}).items()]


def _describe(operation: dict[str, Any], handler: HTTPRouteHandler, options: ApiOptions) -> None:
    """Parameters with all of their bounds, and every answer that there can be."""
    fields = {
        (field.kwarg_definition.name or name): field
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, ParameterKwarg)
    }
    for parameter in operation.get("parameters", ()):
        for useless in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(useless, None)
        field = fields.get(parameter["name"])
        if field is not None:
            parameter["schema"] = _bounded(parameter["schema"], field.kwarg_definition)
        if parameter["name"] == "limit":
            parameter["schema"] |= {"maximum": options.page_max, "default": options.page_default}
    prefix = handler.opt.get("query_prefix")
    if prefix is not None:
        operation.setdefault("parameters", []).append(_prefixed(prefix))
    responses = {status: answer for status, answer in operation["responses"].items() if not status.startswith("4")}
    if handler.opt.get("conditional"):
        responses["304"] = {"description": "What `If-None-Match` names has not changed."}
    if handler.opt.get("stream"):
        responses["200"] = _STREAM
    body = handler.opt.get("body")
    if body is not None:
        shape = {"$ref": REFERENCE.format(name=body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape}}}
    has_body = "requestBody" in operation
    for status in CODES:
        if has_body or status not in BODY_ERRORS:
            responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    operation["responses"] = responses


def _prefixed(prefix: str) -> dict[str, Any]:
    """Any number of parameters whose names begin alike: an exploded object has one for each of its properties."""
    return {
        "name": f"{prefix}NAME",
        "in": "query",
        "required": False,
        "style": "form",
        "explode": True,
        "description": f"Properties are parameters of their own: `{prefix}NAME=VALUE`, as often as there are names.",
        "schema": {
            "type": "object",
            "propertyNames": {"pattern": f"^{re.escape(prefix)}.+$"},
            "additionalProperties": {"type": "string"},
        },
    }


def _bounded(schema: dict[str, Any], kwarg: Any) -> dict[str, Any]:
    """A parameter is there or not; there is no null in an address."""
    options = [each for each in schema.get("oneOf", ()) if each.get("type") != "null"]
    plain = dict(options[0]) if len(options) == 1 else {k: v for k, v in schema.items() if k != "description"}
    if "enum" in plain:
        plain |= {"type": "string", "enum": [each for each in plain["enum"] if each is not None]}
    bounds = {name: getattr(kwarg, attribute) for name, attribute in _BOUNDS.items()}
    return plain | {name: value for name, value in bounds.items() if value is not None}


def _shapes(handlers: list[HTTPRouteHandler]) -> dict[str, Any]:
    """The components, by name: those that answers and bodies have, and what they have in them."""
    types: list[type] = [ErrorAnswer]
    for handler in handlers:
        answer = handler.parsed_fn_signature.return_type
        named = [each.annotation for each in (answer, *answer.inner_types)] + [handler.opt.get("body")]
        types += [each for each in named if isinstance(each, type) and issubclass(each, Struct)]
    _, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    return components


def _limit(shapes: dict[str, Any], options: ApiOptions) -> None:
    """What the server's own options bound."""
    body = shapes["LogFilter"]["properties"]
    body["limit"]["anyOf"][0]["maximum"] = options.page_max
    for given, most in (
        (body["address"]["anyOf"], options.addresses_max),
        (body["topics"]["items"]["anyOf"], options.topics_max),
    ):
        for each in given:
            if each["type"] == "array":
                each["maxItems"] = most


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _error(status: int) -> dict[str, Any]:
    shape = {"$ref": REFERENCE.format(name=ErrorAnswer.__name__)}
    return {
        "description": f"{HTTPStatus(status).phrase}: `{CODES[status]}`.",
        "content": {"application/json": {"schema": shape}},
    }
