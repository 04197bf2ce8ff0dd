"""One form for the name of a market: BASE/QUOTE, in the names of Kraken's v2. Pure.

Its v1 calls bitcoin XBT and dogecoin XDG, and users write what they are used to: xbt/usd, BTC-USD, btc_usd. Journals,
events, stores and requests know the one form only; `kraken.v1` brings it to that protocol's names and back.
"""

import re
from collections.abc import Sequence

from tidelog.errors import ConfigError

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}  # v1's names, and v2's
SYMBOL_CHARS_MAX = 40  # far beyond any: what is longer is no name
_SEPARATORS = re.compile(r"[/\-_:]")
_ASSET = re.compile(r"[A-Za-z0-9.]+")
_TOKENISED = re.compile(r"[A-Z0-9.]+x")  # AAPLx: a share's token, the only names with a small letter


def normal_symbol(text: str) -> str:
    """`text` as BASE/QUOTE.

    Raises:
        ConfigError: it does not name a base and a quote.
    """
    assets = _SEPARATORS.split(text.strip()) if isinstance(text, str) else []
    if len(assets) != 2 or not all(map(_ASSET.fullmatch, assets)) or len(text) > SYMBOL_CHARS_MAX:
        shown = repr(text)[:SYMBOL_CHARS_MAX]
        raise ConfigError(f"{shown} is no symbol: give base and quote as BTC/USD")
    return "/".join([_normal_asset(asset) for asset in assets])


def normal_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    """The names of several markets, each once.

    Raises:
        ConfigError: it is one text instead of a list, or one of them is no symbol.
    """
    return tuple(dict.fromkeys([normal_symbol(symbol) for symbol in listed("symbols", symbols, "BTC/USD")]))


def spelled(text: str) -> str:
    """The normal form of a name that somebody asks for, or the text itself where it has none."""
    try:
        return normal_symbol(text)
    except ConfigError:
        return text


def listed(what: str, texts: Sequence[str], example: str) -> Sequence[str]:
    """`texts`, unless it is one text: ConfigError, because each of its letters would be taken for one."""
    if isinstance(texts, str | bytes):
        raise ConfigError(f"{what} {texts!r} is one text where a list is meant: give [{example!r}]")
    return texts


def _normal_asset(asset: str) -> str:
    name = asset if _TOKENISED.fullmatch(asset) else asset.upper()
    return RENAMED.get(name, name)
