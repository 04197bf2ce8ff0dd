"""What a file means: the same as the command lines it stands for, and what cannot be meant is said."""

import inspect
import os
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidelog.api.http.options import ApiOptions
from tidelog.chain.source.opening import RpcEndpoint
from tidelog.cli.chain import sync
from tidelog.cli.market import record
from tidelog.cli.run.file.parts import Part, environment_of, journals_of, part_of
from tidelog.cli.run.file.processes import (
    api_options_of,
    chain_source_of,
    checked,
    judge,
    market_source_of,
    options_by_process,
    warnings_of,
)
from tidelog.cli.run.file.settings import ApiSettings, ChainSettings, MarketSettings, Settings
from tidelog.cli.serve import serve
from tidelog.config import ConfigValue, Secret, handed, parse, taken
from tidelog.errors import ConfigError

CHAIN = '[[chain]]\nname = "main"\nrpc = ["http://host/v2/abcdefgh"]\n'
OTHER = '[[chain]]\nname = "other"\nrpc = ["http://host"]\n'
MARKET = '[[market]]\nname = "kraken"\nsymbols = ["BTC/USD"]\n'
KEY, API_SECRET = "canarykey", "YWJjZGVmZ2hpamtsbW5vcA=="


def settings(text: str, **environ: str) -> Settings:
    made = parse(text, Settings, file="/x/t.toml", environ=environ).value
    judge(made, "t.toml")
    return made


# Keys and options are the same thing.

NOT_KEYS = {"progress", "contracts",  # of the whole, not for what runs for ever, in an entry of `rpc` or `contract`
    "db", "to", "follow", "log_level", "status", "journal", "rpc_rate", "rpc_batch",
}  # fmt: skip


@pytest.mark.parametrize(("command", "schema"), [(sync, ChainSettings), (record, MarketSettings), (serve, ApiSettings)])
def test_every_option_is_a_key_with_its_default(command: Any, schema: Any) -> None:
    options = inspect.signature(command).parameters
    keys = {field.name: field for field in msgspec.structs.fields(schema)}
    assert options.keys() - keys.keys() <= NOT_KEYS
    for name in options.keys() & keys.keys() - {"rpc", "name"}:  # which have to be given
        default, given = keys[name].default, options[name].default
        if isinstance(default, tuple) and isinstance(given, str):
            assert ",".join(default) == given, name
        else:
            assert (default.reveal() if isinstance(default, Secret) else default) == given, name


@pytest.mark.parametrize(
    ("variable", "text", "name"),
    [
        ("TIDELOG__API__HOST", "0.0.0.0", "api"),
        ("TIDELOG__API__ALLOW_HOST", "tidelog.example,other.example", "api"),
        ("TIDELOG__API__CORS", "https://page.example", "api"),
        ("TIDELOG__CHAIN__MAIN__FROM", "latest", "main"),
        ("TIDELOG__CHAIN__MAIN__FINALITY", "finalized", "main"),
        ("TIDELOG__CHAIN__MAIN__ANCHOR", "0x" + "ab" * 32, "main"),
        ("TIDELOG__MARKET__KRAKEN__SYMBOLS", "BTC/USD,ETH/USD", "kraken"),
        ("TIDELOG__MARKET__KRAKEN__CHANNELS", "book", "kraken"),
        ("TIDELOG__RUN__DIRECTORY", "/run/tidelog", "main"),
        ("TIDELOG__LOGS__LEVEL", "debug", "main"),
    ],
)
def test_what_a_variable_sets_goes_to_its_process(variable: str, text: str, name: str) -> None:
    part = part_of(settings(CHAIN + MARKET, **{variable: text}), name)
    assert taken(handed(part), Part) == part


def test_every_option_of_the_api_is_a_key_with_its_default() -> None:
    made = settings(CHAIN)
    options = api_options_of(made, made.sources)
    assert options == ApiOptions(scrape=options.scrape)
    assert len(msgspec.structs.fields(ApiSettings)) == len(msgspec.structs.fields(ApiOptions))  # enabled, for scrape


def test_a_chain_is_told_what_its_table_says() -> None:
    source = chain_source_of(
        settings(CHAIN + 'from = 5\nws = "ws://w"\nsenders = true\npoll = "2s"\njobs = 3\n'), "main"
    )
    assert (source.rpc, source.db, source.ws, source.jobs) == (
        (RpcEndpoint("http://host/v2/abcdefgh"),),
        "sqlite:////x/tidelog.db",
        "ws://w",
        3,
    )
    options = source.options
    assert (options.first, options.follow, options.senders, options.poll_s) == (5, True, True, 2.0)


def test_an_endpoint_is_told_what_its_plan_allows() -> None:
    made = settings(
        '[[chain]]\nname = "main"\nrpc = ["http://a", {url = "http://b/v2/${KEY}", rate = 25, batch = 10}]\n', KEY=KEY
    )
    assert chain_source_of(made, "main").rpc == (
        RpcEndpoint("http://a"),
        RpcEndpoint(f"http://b/v2/{KEY}", rate=25, batch=10),
    )
    assert [url.shown() for url in made.chain[0].rpc] == [
        "http://a",
        "http://b/*** (25 calls a second, 10 calls a request)",
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{rate = 25}", "give a URL"),
        ('{url = "http://a", rate = 0}', "rate: give 0.01 to 1e+06 calls a second"),
        ('{url = "http://a", rate = "fast"}', "rate: give 0.01"),
        ('{url = "http://a", rate = nan}', "rate: give 0.01"),
        ('{url = "http://a", batch = 0}', "batch: give 1 or more calls a request"),
        ('{url = "http://a", batch = true}', "batch: give 1 or more"),
        ('{url = "http://a", rates = 25}', "there is no key rates in it; there are url, rate and batch"),
        ('{url = "ftp://a"}', "http"),
        ("25", "give a URL"),
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(entry: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as failure:
        settings(f'[[chain]]\nname = "main"\nrpc = [{entry}]\n')
    assert "rpc" in str(failure.value)


def test_a_plan_is_part_of_what_an_endpoint_is() -> None:
    """So that a new file with another plan starts the source again."""
    one, other, same = (
        settings(f'[[chain]]\nname = "main"\nrpc = [{{url = "http://a", rate = {rate}}}]\n').chain[0].rpc[0]
        for rate in (25, 50, 25)
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_a_recording_is_told_what_its_table_says() -> None:
    made = settings(f'{MARKET}key = "${{K}}"\nsecret = "{API_SECRET}"\nkeep_days = 3\n', K=KEY)
    source = market_source_of(made, "kraken")
    assert (source.symbols, source.channels, source.journal) == (["BTC/USD"], ["book", "trade"], "/x/market.journal")
    assert (source.db, source.name, source.keep_days) == ("sqlite:////x/tidelog.db", "kraken", 3.0)
    assert source.key is not None
    assert KEY not in repr(made) + repr(source.key)


def test_the_api_scrapes_everybody_else() -> None:
    made = settings(CHAIN + MARKET)
    assert api_options_of(made, made.sources).scrape == {
        name: f"unix:/x/run/{name}.sock" for name in ("supervisor", "main", "kraken")
    }
    assert [(each.name, each.path) for each in journals_of(made)] == [("kraken", "/x/market.journal")]


# Each process has what is its own.

CANARIES = {"main": "nodecanary", "kraken": "Y2FuYXJ5bWFya2V0", "store": "pgcanary", "other": "othercanary"}
ALL = (
    '[[chain]]\nname = "main"\nchain_id = 1\nrpc = [{url = "http://h/v2/${MAIN}", rate = 25}]\npoll = "250ms"\n'
    '[[chain]]\nname = "other"\nchain_id = 2\nrpc = ["http://h/v2/${OTHER}"]\nws = "ws://h/$$/${OTHER}"\n'
    '[[market]]\nname = "kraken"\nsymbols = ["BTC/USD"]\njournal_max = "1GiB"\nkey = "k"\nsecret = "${KRAKEN}"\n'
    '[store]\nurl = "postgresql://u:${STORE}@h/n"\n'
)


def whole() -> Settings:
    return settings(ALL, **{name.upper(): value for name, value in CANARIES.items()})


@pytest.mark.parametrize(
    ("name", "secrets"),
    [("main", {"main", "store"}), ("other", {"other", "store"}), ("kraken", {"kraken", "store"}), ("api", {"store"})],
)
def test_a_process_is_told_its_own_secrets_and_no_others(name: str, secrets: set[str]) -> None:
    text = handed(part_of(whole(), name))
    assert {each for each, value in CANARIES.items() if value in text} == secrets


@pytest.mark.parametrize("name", ["main", "other", "kraken", "api"])
def test_a_process_reads_its_settings_as_they_were_written(name: str) -> None:
    made = whole()
    part = taken(handed(part_of(made, name)), Part)
    assert part == part_of(made, name)
    if name == "api":
        assert api_options_of(part.settings, part.sources) == api_options_of(made, made.sources)
        assert part.journals == journals_of(made)
    elif name == "kraken":
        told, meant = market_source_of(part.settings, name), market_source_of(made, name)
        assert told.key is not None
        assert meant.key is not None
        assert told.key.headers("/p", "b", "1") == meant.key.headers("/p", "b", "1")
        assert msgspec.structs.replace(told, key=None) == msgspec.structs.replace(meant, key=None)
    else:
        assert chain_source_of(part.settings, name) == chain_source_of(made, name)


def test_a_dollar_in_what_was_resolved_is_no_reference_any_more() -> None:
    made = settings('[[chain]]\nname = "main"\nrpc = ["http://h/v2/${KEY}"]\n', KEY="a${HOME}$$b")
    (url,) = taken(handed(part_of(made, "main")), Part).settings.chain[0].rpc
    assert url.reveal() == "http://h/v2/a${HOME}$$b"


SURROUNDINGS = {
    # a variable: who gets it
    "PATH": {"main", "kraken", "api"},
    "LC_ALL": {"main", "kraken", "api"},
    "SSL_CERT_FILE": {"main", "kraken", "api"},
    "OTEL_EXPORTER_OTLP_ENDPOINT": {"main", "kraken", "api"},
    "TIDELOG_CORE": {"main", "kraken", "api"},
    "https_proxy": {"main", "kraken"},
    "HTTP_PROXY": {"main", "kraken"},
    "PGPASSFILE": {"main", "kraken", "api"},
    "KRAKEN_SECRET": set(),
    "TIDELOG_DB": set(),  # of other commands, perhaps with a password or a key
    "TIDELOG_RPC": set(),
    "TIDELOG_KRAKEN_SECRET": set(),
    "TIDELOG__MARKET__0__SECRET": set(),
    "AWS_SECRET_ACCESS_KEY": set(),
    "NOTIFY_SOCKET": set(),
    "CREDENTIALS_DIRECTORY": set(),
}


@pytest.mark.parametrize("name", ["main", "kraken", "api"])
def test_a_process_gets_of_the_environment_what_it_needs(name: str) -> None:
    found = environment_of(whole(), name, dict.fromkeys(SURROUNDINGS, "x"))
    assert set(found) == {variable for variable, who in SURROUNDINGS.items() if name in who}


def test_a_store_in_a_file_has_no_need_of_a_server_s_password() -> None:
    assert environment_of(settings(CHAIN), "main", {"PGPASSWORD": "x", "PATH": "/bin"}) == {"PATH": "/bin"}


# What cannot be meant.

MISTAKES = [
    ("[api]\nenabled = false", "there is nothing to run"),
    (CHAIN + MARKET.replace("kraken", "main"), "two sources are called main"),
    (CHAIN.replace("main", "api"), "a source is called api, which is a name of tidelog's own"),
    (MARKET.replace("kraken", "supervisor"), "a source is called supervisor"),
    (CHAIN + OTHER, "chain.main: there are several chains in one store: give each its chain_id"),
    (CHAIN + "chain_id = 1\n" + OTHER + "chain_id = 1\n", "two sources are chain 1"),
    (MARKET + MARKET.replace("kraken", "other"), "two recordings write /x/market.journal"),
    (MARKET + MARKET.replace("kraken", "other") + 'journal = "y/../market.journal"', "two recordings write"),
    (MARKET + 'journal = "y/../tidelog.db"', "/x/y/../tidelog.db is the store's file: the journal needs another"),
    (MARKET + 'journal_max = "1000KiB"\n', "market.kraken.journal_max: give a size of 1MiB or more"),
    (MARKET + 'channels = ["books"]\n', "market.kraken: protocol v2 has no channel 'books'; it has book, trade"),
    (MARKET + 'channels = ["ohlc"]\ninterval = 7\n', "market.kraken: candles of 7 minutes: the exchange has 1, 5"),
    (MARKET + 'channels = ["book", "balances"]\n', "market.kraken: public and private channels come over two"),
    (MARKET + 'channels = ["balances"]\n', "market.kraken: balances: private channels need an API key"),
    (MARKET + 'key = "k"\n', "market.kraken: give key and secret, or neither"),
    (MARKET + 'key = "k"\nsecret = "no base64"\n', "not base64"),
    (CHAIN + 'from = "ten"\n', "chain.main.from 'ten': give a block number, or latest"),
    (CHAIN + 'anchor = "0x12"\n', "chain.main.anchor '0x12': give a hash of 32 bytes"),
    (CHAIN + "[run]\nstable = 0.5\n", "run.stable: give 1s or more"),
    (CHAIN + "[api]\npage_max = 5\n", "page_default is 100, above page_max 5"),
    (CHAIN + '[api]\ncors = ["*"]\n', "origin '*'"),
    (CHAIN + f'[run]\ndirectory = "{"a" * 90}"\n', "run.directory: /x/aaa"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_rejects_settings_that_cannot_be_meant(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert str(caught.value).removeprefix("/x/").startswith("t.toml: ")
    assert sentence in str(caught.value)


STORES = [  # the URL, as it is kept, as it is shown
    ("sqlite:///a.db", "sqlite:////x/a.db", "sqlite:////x/a.db"),
    ("sqlite:////v/a.db", "sqlite:////v/a.db", "sqlite:////v/a.db"),
    ("postgresql://u@h/n", "postgresql://u@h/n", "postgresql://u@h/n"),
    ("postgresql://u:canary@h:1/n", "postgresql://u:canary@h:1/n", "postgresql://u:***@h:1/n"),
    ("postgresql://h/n?password=canary", "postgresql://h/n?password=canary", "postgresql://h/n?***"),
    ("postgresql://u:${PW}@h/n", "postgresql://u:canary@h/n", "postgresql://u:***@h/n"),
]


@pytest.mark.parametrize(("given", "kept", "as_shown"), STORES)
def test_the_url_of_the_store_is_resolved_and_its_secret_hidden(given: str, kept: str, as_shown: str) -> None:
    url = settings(f'[store]\nurl = "{given}"\n', PW="canary").store.url
    assert (url.reveal(), url.shown()) == (kept, as_shown)
    assert isinstance(url, ConfigValue)


# What a change means.

BEFORE = CHAIN + MARKET
CHANGES = [
    # the file then                                  who has to start anew
    (BEFORE, set()),
    (BEFORE + '[logs]\nlevel = "debug"\n', set()),
    (BEFORE + '[run]\nstop_timeout = "5s"\n', set()),
    (BEFORE + "# a comment\n", set()),
    (BEFORE + "[api]\nport = 1\n", {"api"}),
    (BEFORE + '[store]\nurl = "sqlite:///y.db"\n', {"main", "kraken", "api"}),
    (BEFORE + '[logs]\nformat = "json"\n', {"main", "kraken", "api"}),
    (CHAIN + 'poll = "2s"\n' + MARKET, {"main"}),
    (CHAIN.replace("abcdefgh", "hgfedcba") + MARKET, {"main"}),
    (BEFORE + 'journal = "y"\n', {"kraken", "api"}),  # whose live streams follow it
    (BEFORE + MARKET.replace("kraken", "more") + 'journal = "y"\n', {"api", "more"}),  # which scrapes it
]


@pytest.mark.parametrize(("then", "anew"), CHANGES)
def test_processes_that_changed_settings_restart(then: str, anew: set[str]) -> None:
    old, new = options_by_process(settings(BEFORE)), options_by_process(settings(then))
    assert {name for name in new if old.get(name) != new[name]} == anew


# Files that others can read.


@pytest.mark.parametrize(
    ("mode", "url", "warned"),
    [
        (0o600, "http://host/v2/abcdefgh", False),
        (0o640, "http://host/v2/abcdefgh", False),
        (0o644, "http://host/v2/abcdefgh", True),
        (0o644, "http://host/v2/${KEY}", False),
        (0o644, "http://host", False),
    ],
)
def test_a_secret_in_a_file_that_everybody_can_read(mode: int, url: str, warned: bool, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(f'[[chain]]\nname = "main"\nrpc = ["{url}"]\n[run]\ndirectory = "/r"\n')
    os.chmod(file, mode)
    found = warnings_of(checked(str(file), {"KEY": "canary-canary"}), str(file))
    assert [f"chmod 600 {file}" in warning for warning in found] == [True] * warned
    assert "abcdefgh" not in str(found)
