"""What can be a host."""

import pytest

from tidelog.config import is_host


@pytest.mark.parametrize(
    "text",
    [
        *("localhost", "node", "node.example", "node.example.", "my_node", "my-node", "n" * 63, "bücher.example"),
        *("127.0.0.1", "0.0.0.0", "::1", "::", "fe80::1%eth0", "2130706433", "node.1a"),
    ],
)
def test_a_host(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "a..b", ".a", "n" * 64, "n." * 130, "a b", "a\0b", "a\n", "*", "a/b", "a@b", "h%20", "[::1]"),
        *("node:80", "http://node", "::g", "127.0.0.999", "1.2.3", "1.2.3.4.5"),
    ],
)
def test_no_host(text: str) -> None:
    assert not is_host(text)
