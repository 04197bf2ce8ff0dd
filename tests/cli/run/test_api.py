"""The API as a process of `run`."""

import socket
from pathlib import Path

import pytest

from tidelog.cli.run.api import serve_api
from tidelog.cli.run.file.parts import part_of
from tidelog.cli.run.file.processes import checked
from tidelog.cli.run.file.settings import API
from tidelog.cli.run.policy import Verdict, verdict
from tidelog.cli.sources.stopping import Stop
from tidelog.errors import TidelogError


@pytest.mark.parametrize("key", ["port", "health_port"])
async def test_a_port_that_another_process_has_is_tried_again(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        file = tmp_path / "t.toml"
        file.write_text(f"[api]\n{'' if key == 'port' else 'port = 0'}\n{key} = {port}\n")
        part = part_of(checked(str(file), {}).value, API)
        with pytest.raises(
            TidelogError, match=f"127.0.0.1:{port} cannot be listened on: Address already in use"
        ) as got:
            await serve_api(part, Stop(), lambda url: None)
    assert verdict(got.value.exit_code, lived_s=0.1, stable_s=60.0) is Verdict.BACKOFF


async def test_an_address_that_cannot_be_had_keeps_it_down(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('[api]\nhost = "203.0.113.1"\nport = 0\n')  # of documentation, RFC 5737: nobody's
    part = part_of(checked(str(file), {}).value, API)
    with pytest.raises(TidelogError, match="cannot be listened on") as got:
        await serve_api(part, Stop(), lambda url: None)
    assert verdict(got.value.exit_code, lived_s=0.1, stable_s=60.0) is Verdict.DOWN
