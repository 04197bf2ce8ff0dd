"""Live streams are guarded as everything else: no token, no stream; and none outlives its token for long."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.api.live.serving import USUAL, refusal, serving
from tests.chain.rig import a_node, rig
from tests.patience import HANGS_S
from tidelog.api.http.options import ApiOptions
from tidelog.runtime import SystemRuntime
from tidelog.store import tokens

PATH = "/v1/chains/1337/live/changes?after=0"


async def test_streams_ask_for_a_token_and_end_with_it(tmp_path: Path) -> None:
    limits = replace(USUAL, recheck_s=0.02)
    runtime = SystemRuntime()
    async with rig(tmp_path, a_node(blocks=3)) as chain:
        await chain.once()
        good = await tokens.create(chain.store, runtime, "reader", ["read"], None)
        other = await tokens.create(chain.store, runtime, "scraper", ["metrics"], None)
        async with serving(chain.store, options=ApiOptions(port=0, tokens_s=0.02), limits=limits) as server:
            socket = server.url.replace("http", "ws") + "/v1/live"
            for shown, status in ((None, 401), ("tl_" + "x" * 43, 401), (other, 403)):
                headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
                assert (await refusal(server.url + PATH, **headers))[0] == status
                with pytest.raises(InvalidStatus) as refused:
                    await connect(socket, additional_headers=headers)
                assert refused.value.response.status_code in (401, 403)
            assert (await refusal(f"{server.url}{PATH}&token={good}"))[0] == 401  # never in an address
            headers = {"Authorization": f"Bearer {good}"}
            async with (
                connect(socket, additional_headers=headers) as client,
                aiohttp.ClientSession() as session,
                session.get(server.url + PATH, headers=headers) as answer,
            ):
                assert answer.status == 200
                await client.send('{"op":"ping"}')
                assert await client.recv() == '{"op":"pong"}'
                await tokens.revoke(chain.store, runtime, "reader")
                async with asyncio.timeout(HANGS_S):
                    with pytest.raises(ConnectionClosed) as closed:
                        await client.recv()
                    rest = [line async for line in lines(answer)]
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, "this token is not valid" in closed.value.rcvd.reason) == (1008, True)
            assert b"event: error\n" in rest
            assert any(b"this token is not valid" in line for line in rest)


async def lines(answer: aiohttp.ClientResponse):  # type: ignore[no-untyped-def]
    """To the end, in order or not."""
    try:
        async for line in answer.content:
            yield line
    except aiohttp.ClientError:
        return
