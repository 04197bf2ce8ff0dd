"""`POST /rpc/{chain}`: the JSON-RPC of a chain, for clients that were made for a node.

The body is taken as bytes whatever its content type says, since clients send several; HTTP says 200 to
everything that is a JSON-RPC answer, errors included, and 204 where no call wants an answer.
"""

from dataclasses import dataclass
from typing import Any

from litestar import MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import RawBody

from tidelog.api.access.turns import turn
from tidelog.api.http.backend import Backend
from tidelog.api.http.content_negotiation import ANY_CONTENT_TYPE
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.parameters import Chain
from tidelog.api.rpc.dispatch import METHODS, RpcLimits, answer

__all__ = ["ROUTES", "limits_of"]

_CALL = Schema(
    type=OpenAPIType.OBJECT,
    required=["jsonrpc", "method"],
    properties={
        "jsonrpc": Schema(type=OpenAPIType.STRING, const="2.0"),
        "id": Schema(type=[OpenAPIType.STRING, OpenAPIType.INTEGER, OpenAPIType.NULL]),
        "method": Schema(type=OpenAPIType.STRING, examples=list(METHODS)),
        "params": Schema(type=OpenAPIType.ARRAY, items=Schema()),
    },
)
_BODY = Schema(
    any_of=[
        _CALL,
        Schema(type=OpenAPIType.ARRAY, items=_CALL, min_items=1),
        Schema(description="Anything else is answered too: by a JSON-RPC error, as clients of nodes expect it."),
    ],
    examples=[{"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}],
)


_ERROR = Schema(
    type=OpenAPIType.OBJECT,
    required=["code", "message"],
    properties={
        "code": Schema(type=OpenAPIType.INTEGER),
        "message": Schema(type=OpenAPIType.STRING),
        "data": Schema(),
    },
)
_ANSWER = Schema(
    type=OpenAPIType.OBJECT,
    required=["jsonrpc", "id"],
    properties={
        "jsonrpc": Schema(type=OpenAPIType.STRING, const="2.0"),
        "id": Schema(type=[OpenAPIType.STRING, OpenAPIType.NUMBER, OpenAPIType.NULL]),
        "result": Schema(),
        "error": _ERROR,
    },
)
_ANSWERS = Schema(one_of=[_ANSWER, Schema(type=OpenAPIType.ARRAY, items=_ANSWER, min_items=1)])


@dataclass
class _Operation(Operation):
    """The route's operation with its body and its answers, which the handler takes and gives as bytes."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=_BODY)},
            required=False,  # as everything that is no call, an empty one is answered by JSON-RPC's own error
            description="A JSON-RPC 2.0 call, or a batch of calls.",
        )
        self.responses = {
            "200": OpenAPIResponse(
                description="A JSON-RPC 2.0 answer, or a batch of answers; an error is one as well.",
                content={"application/json": OpenAPIMediaType(schema=_ANSWERS)},
            ),
            "204": OpenAPIResponse(description="None of the calls has an id, so none wants an answer."),
        }


def limits_of(options: ApiOptions) -> RpcLimits:
    """The limits of a server, as far as they are one request's."""
    return RpcLimits(
        body_bytes_max=options.body_bytes_max,
        blocks_max=options.block_range_max,
        addresses_max=options.addresses_max,
        topics_max=options.topics_max,
    )


@post(
    "/rpc/{chain:int}",
    status_code=200,
    media_type=MediaType.JSON,
    operation_id="callRpc",
    operation_class=_Operation,
    opt={ANY_CONTENT_TYPE: True},
    summary="Ethereum JSON-RPC, read only.",
    description=(
        "Answers as a node would, for what the store holds; anything else is an error that says which blocks are "
        "stored. Methods: " + ", ".join(METHODS) + ". Errors, limits and differences: docs/rpc.md."
    ),
)
async def call_rpc(
    request: Request[Any, Any, Any], chain: Chain, body: RawBody, backend: NamedDependency[Backend]
) -> Response[bytes]:
    """Answer a call or a batch."""
    answered = await answer(body, backend.store, chain, limits_of(backend.options), lambda: turn(request))
    return Response(
        answered or b"",
        status_code=204 if answered is None else 200,
        media_type=MediaType.JSON,
        headers={"cache-control": "no-store"},
    )


ROUTES = [call_rpc]
