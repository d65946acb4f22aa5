"""Where settings come from, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from connectordb.core.settings import SECTIONS, Settings, load, to_toml
from connectordb.errors import FolderError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "connectordb.toml"


def loaded(file: Path, text: str, **more: Any) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, **({"environ": {}} | more))


def test_defaults_are_in_force_without_any_source(file: Path) -> None:
    assert load(environ={}) == Settings() == load(file, environ={})
    assert Settings().server.port == 3124
    assert Settings().server.host == "127.0.0.1"
    assert Settings().store.synchronous == "full"


def test_each_source_overrides_the_one_before_and_origin_tells_which(file: Path) -> None:
    text = "[server]\nhost = '10.0.0.1'\nport = 1001\nkeep_alive_s = 5\n"
    environ = {"CONNECTORDB_SERVER__PORT": "1002", "CONNECTORDB_SERVER__HOST": "10.0.0.2", "PATH": "/bin"}
    settings = loaded(file, text, environ=environ, options={"server.host": "10.0.0.3", "server.port": None})
    assert settings.server.keep_alive_s == 5.0
    assert settings.origin("server.keep_alive_s") == str(file)
    assert settings.server.port == 1002
    assert settings.origin("server.port") == "CONNECTORDB_SERVER__PORT"
    assert settings.server.host == "10.0.0.3"
    assert settings.origin("server.host") == "--host"
    assert settings.origin("log.level") == "default"


def test_environment_of_the_process_is_used_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTORDB_LOG__LEVEL", "debug")
    assert load().log.level == "debug"
    assert load(environ={}).log.level == "info"


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("CONNECTORDB_LOG__REQUESTS", "false", "log", "requests", False),
        ("CONNECTORDB_LOG__REQUESTS", "1", "log", "requests", True),
        ("CONNECTORDB_AUTH__FAILURE_DELAY_S", "0", "auth", "failure_delay_s", 0.0),
        ("CONNECTORDB_AUTH__SESSION_DAYS", "1.5", "auth", "session_days", 1.5),
        ("CONNECTORDB_STORE__SYNCHRONOUS", "normal", "store", "synchronous", "normal"),
    ],
)
def test_text_of_a_variable_becomes_the_type_of_the_setting(
    variable: str, text: str, section: str, key: str, value: object
) -> None:
    found = getattr(getattr(load(environ={variable: text}), section), key)
    assert found == value
    assert type(found) is type(value)


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert load(environ={"CONNECTORDB_URL": "http://x", "MY__VARIABLE": "1"}) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nport = 70000", ["[server] port = 70000", "65535"]),
        ("[server]\nport = -1", ["[server] port = -1", "0"]),
        ("[server]\nport = '3124'", ["[server] port", "int"]),
        ("[server]\nport = 3124.0", ["[server] port", "int"]),
        ("[server]\nhost = ''", ["[server] host"]),
        ("[server]\nbody_bytes_max = 0", ["[server] body_bytes_max = 0", "1024"]),
        ("[limits]\ninsert_points_max = 0", ["[limits] insert_points_max = 0"]),
        ("[auth]\nfailure_delay_s = nan", ["[auth] failure_delay_s"]),
        ("[auth]\nfailure_delay_s = inf", ["[auth] failure_delay_s"]),
        ("[auth]\nfailures_window_s = 0", ["[auth] failures_window_s"]),
        ("[auth]\npassword_memory_kib = 8\npassword_parallelism = 2", ["password_memory_kib = 8", "parallelism"]),
        ("[store]\nsynchronous = 'off'", ["[store] synchronous", "'full', 'normal'"]),
        ("[log]\nrequests = 1", ["[log] requests", "bool"]),
        ("[server]\nprot = 1", ["[server]", "prot", "did you mean port?"]),
        ("[server]\nzzz = 1", ["[server]", "zzz", "known are host, port"]),
        ("[servr]\nport = 1", ["[servr]", "did you mean server?"]),
        ("port = 1", ["port", "belongs below [server]"]),
        ("zzz = 1", ["zzz", "outside of the sections"]),
        ("server = 3124", ["server is a section"]),
        ("[server]\nport = \nhost = 1", ["not valid TOML", "line 2"]),
    ],
)
def test_bad_file_is_refused_with_file_and_key(file: Path, text: str, told: list[str]) -> None:
    with pytest.raises(FolderError) as caught:
        loaded(file, text)
    for part in [str(file), *told]:
        assert part in str(caught.value)


def test_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FolderError, match="not valid TOML"):
        load(file, environ={})


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="cannot be read"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("CONNECTORDB_SERVER__PORT", "http", "int"),
        ("CONNECTORDB_SERVER__PORT", "65536", "65535"),
        ("CONNECTORDB_AUTH__FAILURE_DELAY_S", "nan", "failure_delay_s"),
        ("CONNECTORDB_LOG__REQUESTS", "maybe", "requests"),
        ("CONNECTORDB_SERVER__PROT", "1", "did you mean CONNECTORDB_SERVER__PORT?"),
    ],
)
def test_bad_variable_is_refused_by_name(variable: str, text: str, told: str) -> None:
    with pytest.raises(FolderError) as caught:
        load(environ={variable: text})
    assert variable in str(caught.value)
    assert told in str(caught.value)


def test_bad_option_is_refused_by_name() -> None:
    with pytest.raises(FolderError, match=r"--port.*65535"):
        load(environ={}, options={"server.port": 99999})


def test_written_file_shows_all_settings_and_sets_only_those_given(file: Path) -> None:
    text = to_toml({"server.port": 8000, "log.requests": False, "server.host": 'a"b'})
    settings = loaded(file, text)
    assert settings.server.port == 8000
    assert settings.log.requests is False
    assert settings.server.host == 'a"b'
    assert set(settings.origins) == {"server.port", "log.requests", "server.host"}
    for setting in Settings():
        key = setting.name.partition(".")[2]
        assert f"\n{key} = " in text or f"\n#{key} = " in text
        assert f"# {setting.description}\n" in text


def test_commented_defaults_of_a_written_file_are_the_defaults(file: Path) -> None:
    uncommented = "\n".join(
        line.removeprefix("#") if " = " in line and not line.startswith("# ") else line
        for line in to_toml({}).splitlines()
    )
    assert {k: set(v) for k, v in tomllib.loads(uncommented).items()} == {
        section: set(cls.__struct_fields__) for section, cls in SECTIONS.items()
    }
    settings = loaded(file, uncommented)
    assert all(setting.value == setting.default for setting in settings)


def test_every_setting_has_an_explanation_with_its_unit() -> None:
    units = {"s": "seconds", "kib": "KiB", "days": "days", "bytes": "bytes"}
    for setting in Settings():
        assert setting.description.endswith(".")
        words = setting.name.split(".")[1].split("_")
        for suffix, unit in units.items():
            if words[-1] == suffix or (suffix == "bytes" and suffix in words):
                assert unit in setting.description, setting.name
