"""The route of JSON-RPC: any content type, HTTP's own refusals, and its place in the document of the API."""

import json
from typing import Any

import pytest
from litestar.testing import AsyncTestClient

from tests.api.stored import HEAD, page_of
from tidelog.api.app import create_app, route_handlers
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.openapi import document
from tidelog.api.rpc.route import limits_of
from tidelog.runtime import SystemRuntime
from tidelog.store import Store
from tidelog.telemetry import ApiMetrics

OPTIONS = ApiOptions(body_bytes_max=1_000, block_range_max=2, addresses_max=3, topics_max=4)
CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}


def client(store: Store) -> AsyncTestClient[Any]:
    return AsyncTestClient(create_app(Backend(store, SystemRuntime(), OPTIONS, (), ApiMetrics())))


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
async def test_any_content_type_is_read(whole: Store, content_type: str) -> None:
    async with client(whole) as http:
        answered = await http.post("/rpc/1", content=json.dumps(CALL), headers={"content-type": content_type})
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "application/json"
    assert answered.headers["cache-control"] == "no-store"
    assert answered.json() == {"jsonrpc": "2.0", "id": 1, "result": hex(HEAD)}


async def test_errors_are_answers_and_notifications_are_none(whole: Store) -> None:
    notification = {"jsonrpc": "2.0", "method": "eth_blockNumber"}
    async with client(whole) as http:
        wrong = await http.post("/rpc/1", content=b"{")
        unknown = await http.post("/rpc/7", json=CALL)
        none = await http.post("/rpc/1", json=notification)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (200, -32700)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (200, -32001)
    assert (none.status_code, none.content) == (204, b"")


async def test_the_limits_are_the_servers(whole: Store) -> None:
    limits = limits_of(OPTIONS)
    assert (limits.body_bytes_max, limits.blocks_max, limits.addresses_max, limits.topics_max) == (1_000, 2, 3, 4)
    filters: Any = {"fromBlock": "0x0", "toBlock": "0x2"}
    async with client(whole) as http:
        large = await http.post("/rpc/1", content=b" " * 1_001)
        ranged = await http.post("/rpc/1", json=CALL | {"method": "eth_getLogs", "params": [filters]})
        block = await http.post("/rpc/1", json=CALL | {"method": "eth_getBlockByNumber", "params": ["0x3", False]})
    assert large.status_code == 413
    assert ranged.json()["error"]["code"] == -32005
    assert block.json()["result"]["hash"] == page_of(3)[0]["hash"]


async def test_a_path_that_is_no_chain_is_not_found(whole: Store) -> None:
    async with client(whole) as http:
        assert (await http.post("/rpc/x", json=CALL)).status_code == 404
        assert (await http.get("/rpc/1")).status_code == 405


def test_json_rpc_is_in_the_openapi_document() -> None:
    operation = json.loads(document(route_handlers(), OPTIONS))["paths"]["/rpc/{chain}"]["post"]
    one, several, anything = operation["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert anything.keys() == {"description"}
    assert one["required"] == ["jsonrpc", "method"]
    assert (several["type"], several["items"]) == ("array", one)
    assert {"200", "204", "413"} <= operation["responses"].keys()
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"][0]["type"] == "object"
