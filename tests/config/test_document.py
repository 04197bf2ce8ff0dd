"""A file becomes a struct, or one sentence that says where it is wrong and what is wanted."""

import os
import traceback
from pathlib import Path

import pytest

from tests.config.schema import CANARY, ONE, TWO, Root
from tidelog.config import Duration, Loaded, Secret, load, parse
from tidelog.config.document import FILE_BYTES_MAX
from tidelog.config.values import Pause
from tidelog.errors import ConfigError


def read(text: str, **environ: str) -> Loaded[Root]:
    return parse(text, Root, file="/etc/x/t.toml", environ=environ)


def test_an_empty_file_is_all_defaults() -> None:
    loaded = read("")
    assert loaded.value == Root()
    assert (loaded.given, loaded.overrides, loaded.exposed) == (frozenset(), (), ())


def test_every_kind_of_value() -> None:
    loaded = read(
        'title = "x"\n[server]\nport = 8080\ntls = true\nshare = 1\n[server.limits]\nsize = "2MiB"\nwait = "1500ms"\n'
        + ONE
        + 'from = "latest"\nsymbols = ["A/B"]\nmode = "fast"\ndepth = 25\nkeep = "2d"\nkey = "k"\n',
    )
    server, (source,) = loaded.value.server, loaded.value.source
    assert (server.port, server.tls, server.share, server.limits.size) == (8080, True, 1.0, 2 * 1024**2)
    assert server.limits.wait == Pause(1.5)
    assert (source.from_, source.symbols, source.mode, source.depth) == ("latest", ("A/B",), "fast", 25)
    assert source.keep == Duration(2 * 86_400)
    assert source.key == Secret("k")
    assert source.path == "/etc/x/data/x.db"
    assert ("source", "a", "from") in loaded.given


MISTAKES = [  # the text, the sentence behind "/etc/x/t.toml"
    # keys
    ("titel = 1", ": titel: there is no such key; did you mean title?"),
    ("zzz = 1", ": zzz: there is no such key; there are server, source, title"),
    ("[server]\nprot = 1", ": server.prot: there is no such key; did you mean port?"),
    ("[server.limits]\nsiez = 1", ": server.limits.siez: there is no such key; did you mean size?"),
    (ONE + "mod = 1", ": source.a.mod: there is no such key; did you mean mode?"),
    ('[[source]]\nname = "a"', ": source.a.urls: this key is missing"),
    ('[[source]]\nurls = ["http://x"]', ": source.0.name: this key is missing"),
    # types
    ("[server]\nport = '80'", ": server.port: give a whole number, not text in quotes"),
    ("[server]\nport = 1.5", ": server.port: give a whole number, not a number"),
    ("[server]\nport = 2020-01-01", ": server.port: give a whole number, not a date"),
    ("[server]\ntls = 1", ": server.tls: give true or false, not a whole number"),
    ("title = 5", ": title: give text in quotes, not a whole number"),
    ("server = 5", ": server: give a table, not a whole number"),
    ("[source]\nname = 'a'", ": source: write this table as [[source]]: there may be several"),
    ("source = 5", ": source: give a list in [ ], not a whole number"),
    (ONE + "symbols = 'A'", ": source.a.symbols: give a list in [ ], not text in quotes"),
    (ONE + "symbols = [1]", ": source.a.symbols.0: give text in quotes, not a whole number"),
    (ONE + "from = 1.5", ": source.a.from: give a whole number or text in quotes, not a number"),
    # ranges
    ("[server]\nport = -1", ": server.port: give a whole number, 0 or more"),
    ("[server]\nport = 65536", ": server.port: give a whole number, 65535 or less"),
    ('[[source]]\nname = "a"\nurls = []', ": source.a.urls: give a list in [ ] of at least 1"),
    (ONE + "mode = 'sage'", ": source.a.mode: give one of fast, safe"),
    (ONE + "depth = 11", ": source.a.depth: give one of 10, 25"),
    (TWO + "keep = '1w'", ': source.b-c.keep: give a duration, such as "5s", "2m" or "1d"'),
    ("[server.limits]\nwait = 0", ": server.limits.wait: give more than 0 seconds and less than a day"),
    ("[server.limits]\nwait = '1d'", ": server.limits.wait: give more than 0 seconds and less than a day"),
    ("[server.limits]\nsize = 'big'", ': server.limits.size: give a size, such as "500MiB" or "2GB"'),
    ('[[source]]\nname = "A"', ": source.A.name: give a name of small letters"),
    # references
    (ONE + "key = '${NOPE}'", ": source.a.key: the environment variable NOPE is not set"),
    (ONE + "key = '${NOPE'", ": source.a.key: write a reference to the environment as ${NAME}"),
    (ONE + "key = '${}'", ": source.a.key: write a reference to the environment as ${NAME}"),
    ("title = '${HOME}'", ": title: only secrets and URLs may refer to the environment"),
    # TOML
    ("title = ", ", at its end: this is no TOML: Invalid value"),
    ("\n\ntitle 5", ", line 3, column 7: this is no TOML: Expected '=' after a key"),
    ("title = 1\ntitle = 2", ", at its end: this is no TOML: Cannot overwrite a value"),
    ("a = " + "[" * 5_000, " is nested too deep"),
    ("title = " + "9" * 5_000, " is no TOML: a number in it has thousands of digits"),
    ("title = " + "9" * 400, ": title: this number is too large"),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=[text[-30:] for text, _ in MISTAKES])
def test_a_mistake_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"/etc/x/t.toml{sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"[[source]]\nname = 'a'\nurls = ['ftp://{CANARY}@host']",
        f"[[source]]\nname = 'a'\nurls = ['{CANARY}']",
        f"[[source]]\nname = 'a'\nurls = ['http://host/{CANARY}']\nkey = ['{CANARY}']",
        f"[[source]]\nname = 'a'\nurls = ['http://host/{CANARY}']\nmode = '{CANARY}'",
        f"[[source]]\nname = 'a'\nurls = ['http://host:port/{CANARY}']",
        f"[[source]]\nname = 'a'\nurls = ['http://host']\nkey = '{CANARY}${{'",
        f"[server]\nport = '{CANARY}'",
    ],
)
def test_no_sentence_has_a_value_of_the_file(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_references_are_resolved_in_secrets_and_a_dollar_is_written_twice() -> None:
    (source,) = read(
        '[[source]]\nname = "a"\nurls = ["http://host/v2/${KEY}"]\nkey = "${KEY}$$${TWO}"', KEY=CANARY, TWO="2"
    ).value.source
    assert source.urls[0].reveal() == f"http://host/v2/{CANARY}"
    assert source.key == Secret(f"{CANARY}$2")


EXPOSED = [  # in the file, whether it has a secret in it
    ('urls = ["http://127.0.0.1:8545"]', False),
    ('urls = ["http://host/v2/${KEY}"]', False),
    (f'urls = ["http://host/v2/{CANARY}"]', True),
    (f'urls = ["http://host", "http://host/{CANARY}"]', True),
    ('urls = ["${KEY}"]', False),
    ('urls = ["http://host"]\nkey = "${KEY}"', False),
    (f'urls = ["http://host"]\nkey = "{CANARY}"', True),
    (f'urls = ["http://host"]\nkey = "${{KEY}}{CANARY}"', True),
]


@pytest.mark.parametrize(("lines", "expected"), EXPOSED)
def test_secrets_that_stand_in_the_file_are_known(lines: str, expected: bool) -> None:
    loaded = read(f'[[source]]\nname = "a"\n{lines}', KEY="http://h")
    assert bool(loaded.exposed) is expected


def test_a_secret_that_a_variable_replaces_is_still_in_the_file_and_not_what_counts() -> None:
    loaded = read(f'{ONE}key = "{CANARY}"', TIDELOG__SOURCE__A__KEY="${other}")
    assert loaded.exposed == ()
    assert loaded.value.source[0].key == Secret("${other}")  # what a variable holds is no reference


# The file itself.


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_bytes(b"\xef\xbb\xbftitle = 'x'\r\n")
    assert load(str(file), Root, {}).value.title == "x"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.toml").write_text(f"{ONE}path = 'x.db'\n{TWO.removeprefix(ONE)}path = '/x.db'\n")
    monkeypatch.chdir("/")
    one, two = load(os.path.relpath(tmp_path / "t.toml", "/"), Root, {}).value.source
    assert (one.path, two.path) == (f"{tmp_path}/x.db", "/x.db")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/tidelog"}, "/var/lib/tidelog"),
        ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, "/var/lib/one"),
        ({"TIDELOG_DATA_DIR": "/data", "STATE_DIRECTORY": "/var/lib/tidelog"}, "/data"),
        ({"TIDELOG_DATA_DIR": "", "STATE_DIRECTORY": ""}, "/etc"),
    ],
)
def test_relative_paths_lie_in_the_folder_of_data_if_there_is_one(environ: dict[str, str], folder: str) -> None:
    root = parse(f"{ONE}path = 'x.db'\n", Root, file="/etc/t.toml", environ=environ).value
    assert root.source[0].path == f"{folder}/x.db"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"title = 'x'\ntitle2 = '\xff'", ", line 2: this is not UTF-8"),
        ("title = 'x'".encode("utf-16"), ", line 1: this is not UTF-8"),
        (b"#" * (FILE_BYTES_MAX + 1), f" is longer than {FILE_BYTES_MAX} bytes"),
        (None, " cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), Root, {})
    assert str(caught.value).startswith(f"{file}{sentence}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(str(tmp_path), Root, {})
    with pytest.raises(ConfigError, match="is no file"):
        load("/dev/null", Root, {})
