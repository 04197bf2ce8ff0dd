"""A pool by URLs: what is no endpoint is one sentence, before one is asked."""

from typing import Any

import pytest

from tidelog import ConfigError, SystemRuntime
from tidelog.chain import ChainMetrics, RpcEndpoint, open_pool

URL = "http://127.0.0.1:9/CANARY-0123456789"


@pytest.mark.parametrize("given", [URL, [URL], RpcEndpoint(URL), [RpcEndpoint(URL), URL], []])
async def test_what_is_no_list_of_endpoints_is_refused_without_showing_it(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"endpoints: give .*\[RpcEndpoint\(url\)\]") as caught:
        async with open_pool(given, SystemRuntime(), ChainMetrics()):
            raise AssertionError
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("plan", [{"rate": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"rate": "25"}, {"batch": 0}])
def test_a_plan_by_which_nothing_could_be_asked_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give calls a"):
        RpcEndpoint(URL, **plan)
