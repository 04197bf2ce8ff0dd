"""The names of markets: one form, whoever writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.errors import ConfigError
from tidelog.market.kraken import v1
from tidelog.market.symbols import normal_symbol, normal_symbols


@pytest.mark.parametrize(
    # a user writes   and means      v1 calls it
    ("written", "meant", "name_v1"),
    [
        ("BTC/USD", "BTC/USD", "XBT/USD"),
        ("XBT/USD", "BTC/USD", "XBT/USD"),
        ("btc/usd", "BTC/USD", "XBT/USD"),
        ("xbt-usd", "BTC/USD", "XBT/USD"),
        ("BTC-USD", "BTC/USD", "XBT/USD"),
        (" eth_xbt ", "ETH/BTC", "ETH/XBT"),
        ("XDG/USD", "DOGE/USD", "XDG/USD"),
        ("doge:xbt", "DOGE/BTC", "XDG/XBT"),
        ("Eth/Usd", "ETH/USD", "ETH/USD"),
        ("AAPLx/USD", "AAPLx/USD", "AAPLx/USD"),  # a share's token: Kraken writes a small x
        ("1INCH/EUR", "1INCH/EUR", "1INCH/EUR"),
    ],
)
def test_one_form_for_what_users_and_both_protocols_write(written: str, meant: str, name_v1: str) -> None:
    assert normal_symbol(written) == meant
    assert v1.pair_of(meant) == name_v1
    assert normal_symbol(name_v1) == meant


@pytest.mark.parametrize(
    "text", ["", "BTC", "BTCUSD", "/", "BTC/", "/USD", "BTC/USD/EUR", "BTC USD", "Ä/USD", "X" * 99]
)
def test_texts_that_are_no_symbol_are_refused_with_advice(text: str) -> None:
    with pytest.raises(ConfigError, match="is no symbol: give base and quote as BTC/USD"):
        normal_symbol(text)


def test_a_text_where_a_list_is_meant_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"symbols 'BTC/USD' is one text where a list is meant: give \['BTC/USD'\]"):
        normal_symbols("BTC/USD")


def test_two_spellings_of_a_market_are_one_symbol() -> None:
    assert normal_symbols(["XBT/USD", "btc-usd", "ETH/USD"]) == ("BTC/USD", "ETH/USD")


@given(st.text())
def test_whatever_is_written_it_is_normal_or_refused(text: str) -> None:
    try:
        symbol = normal_symbol(text)
    except ConfigError:
        return
    assert normal_symbol(symbol) == symbol
