from __future__ import annotations

from pathlib import Path

import pytest

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
