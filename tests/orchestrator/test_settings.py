from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url

from orchestrator.errors import SettingsError
from orchestrator.settings import Settings, env_example, load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_lists_every_setting() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()
    assert all(f"SPOTON_{name.upper()}=" in env_example() for name in Settings.model_fields)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_malformed_value_is_named_as_the_environment_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTON_TICKS_IN_FLIGHT", "many")
    with pytest.raises(SettingsError, match="SPOTON_TICKS_IN_FLIGHT"):
        load_settings(_env_file=None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"video_source": "folder"}, "video_folder"),
        ({"low_detection_threshold": 0.6, "detection_threshold": 0.5}, "low_detection_threshold"),
        ({"api_host": "0.0.0.0"}, "not loopback"),
    ],
)
def test_unsafe_combinations_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(_env_file=None, **values)


def test_secrets_do_not_show() -> None:
    settings = load_settings(_env_file=None, s3_secret_access_key="hush", postgres_dsn="postgresql://me:hush@host/db")
    assert "hush" not in repr(settings)


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTON_CORS_ORIGINS", "http://a.example, http://b.example")
    assert load_settings(_env_file=None).cors_origins == ("http://a.example", "http://b.example")


def test_a_secret_comes_from_the_file_that_a_variable_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("p@ss word'\n")
    (tmp_path / "redis").write_text("r@ss/word\n")
    monkeypatch.setenv("SPOTON_POSTGRES_PASSWORD_FILE", str(tmp_path / "postgres"))
    monkeypatch.setenv("SPOTON_REDIS_PASSWORD_FILE", str(tmp_path / "redis"))
    settings = load_settings(_env_file=None, postgres_dsn="postgresql://me@db/spoton", redis_url="redis://cache:6379/0")
    connection = conninfo_to_dict(settings.postgres_dsn.get_secret_value())
    assert (connection["user"], connection["host"], connection["password"]) == ("me", "db", "p@ss word'")
    redis = parse_url(settings.redis_url.get_secret_value())
    assert (redis["host"], redis["port"], redis["db"], redis["password"]) == ("cache", 6379, 0, "r@ss/word")
    assert "ss" not in repr(settings.postgres_dsn) + repr(settings.redis_url)


def test_a_secret_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPOTON_REDIS_PASSWORD_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"SPOTON_REDIS_PASSWORD_FILE: .*nowhere cannot be read: No such file"):
        load_settings(_env_file=None)


def test_a_setting_has_one_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPOTON_REDIS_PASSWORD_FILE", str(tmp_path / "redis"))
    monkeypatch.setenv("SPOTON_REDIS_PASSWORD", "hush")
    with pytest.raises(SettingsError, match="SPOTON_REDIS_PASSWORD_FILE: SPOTON_REDIS_PASSWORD is set as well"):
        load_settings(_env_file=None)
