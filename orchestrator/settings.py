"""Every setting, typed, from the environment (prefix ``SPOTON_``) or an ``.env`` file.

``SPOTON_<NAME>_FILE`` names a file whose content is the value, as secrets are handed to containers. Durations are
seconds. ``load_settings`` raises ``SettingsError`` naming the variable, never a traceback of the library.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.errors import SettingsError

PositiveSeconds = Annotated[float, Field(gt=0)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
RateLimit = Annotated[str, Field(pattern=r"^[1-9]\d{0,6}/(second|minute|hour)$")]
PREFIX = "SPOTON_"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """The whole configuration of a worker or an API process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    site_file: Path = Path("site.yaml")
    """The site file: environments, cameras, homographies."""

    video_source: Literal["s3", "folder"] = "s3"
    """Where sub-videos come from: an S3 bucket, or a folder laid out like one."""
    video_folder: Path | None = None
    """The folder, when the source is one."""
    s3_endpoint_url: AnyHttpUrl | None = None
    """The object store; empty for AWS."""
    s3_region: str = "us-east-1"
    """Its region."""
    s3_bucket: str = "spoton"
    """The bucket that holds the sub-videos."""
    s3_access_key_id: str | None = None
    """Access key; empty for the environment's own credentials."""
    s3_secret_access_key: SecretStr | None = None
    """Secret key."""
    s3_timeout_s: PositiveSeconds = 20.0
    """Deadline of one read or listing."""
    s3_public_endpoint_url: AnyHttpUrl | None = None
    """The object store as clients reach it, where that differs; signed URLs lead there."""
    media_delivery: Literal["serve", "redirect"] = "serve"
    """What the API does for a sub-video that it does not hold: fetch and serve it, or redirect to a signed S3 URL."""
    signed_url_ttl_s: PositiveSeconds = 3600.0
    """How long a signed URL is good for."""
    cache_dir: Path = Path(".spoton/cache")
    """Where fetched sub-videos are kept."""
    cache_max_gib: Annotated[float, Field(gt=0)] = 20.0
    """Above this the least recently used sub-videos are evicted."""
    cache_grace_s: Annotated[float, Field(ge=0)] = 3600.0
    """For so long after its last use a sub-video is kept: clients may still be watching."""

    triton_url: str = "127.0.0.1:8001"
    """Triton's gRPC address."""
    triton_timeout_s: PositiveSeconds = 30.0
    """Deadline of one inference."""
    triton_start_timeout_s: PositiveSeconds = 120.0
    """How long to wait at start until the models are ready."""
    triton_shared_memory: Literal["auto", "on", "off"] = "auto"
    """Whether pixels travel through system shared memory; auto tries, and falls back to the wire."""
    shm_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "spoton"
    """First part of the names of shared memory regions."""
    detector_model: str = "person_detector"
    """Name of the detector in the model repository."""
    reid_model: str = "person_reid"
    """Name of the Re-ID model in the model repository."""
    detection_threshold: UnitInterval = 0.5
    """Score from which a detection can start a track."""
    low_detection_threshold: UnitInterval = 0.1
    """Score from which a detection can continue one."""
    ticks_in_flight: Annotated[int, Field(ge=1, le=64)] = 8
    """Ticks between decode and publish at once; bounds the memory of a task."""
    embed_every: Annotated[int, Field(ge=1)] = 3
    """Embed somebody who stands alone every n-th tick only, once looked at often; the others at each."""
    target_fps: Annotated[float, Field(gt=0)] = 23.0
    """Processing rate to come near to, where the site file names none."""

    tracker: str = "botsort"
    """A BoxMOT tracker by name."""
    tracker_backend: Literal["auto", "python", "cpp"] = "auto"
    """BoxMOT's backend; auto is python. cpp takes a fifth of the time, but matches as published and loses more ids."""
    lost_track_buffer_s: PositiveSeconds = 16.7
    """How long a lost track may be found again."""
    reid_similarity: UnitInterval = 0.65
    """Cosine similarity from which two appearances can be one person."""
    second_pass: bool = True
    """Whether identities are corrected over the whole recording after its last batch."""
    gallery_ema: UnitInterval = 0.9
    """Share of the old embedding when a person's embedding is refreshed."""
    gallery_refresh_frames: Annotated[int, Field(ge=1)] = 10
    """Ticks between two refreshes."""
    gallery_max_people: Annotated[int, Field(ge=1)] = 1000
    """People whom a running task remembers by itself; those not seen for the longest are looked up when they return."""
    gallery_ttl_s: PositiveSeconds = 86_400.0
    """How long Redis remembers a person."""

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis or Valkey: gallery and live messages."""
    redis_password: SecretStr | None = None
    """Its password, where the URL has none."""
    redis_timeout_s: PositiveSeconds = 5.0
    """Deadline of one command."""
    event_log_max_messages: Annotated[int, Field(ge=1000)] = 50_000
    """Messages kept for each task."""
    event_log_ttl_s: PositiveSeconds = 86_400.0
    """How long a task's messages are kept after the last one."""
    postgres_dsn: SecretStr = SecretStr("postgresql://spoton@127.0.0.1:5432/spoton")
    """PostgreSQL with pgvector: tasks, queue, history."""
    postgres_password: SecretStr | None = None
    """Its password, where the DSN has none."""
    postgres_timeout_s: PositiveSeconds = 10.0
    """Deadline of a connection and of one statement."""
    analytics_timeout_s: PositiveSeconds = 30.0
    """Deadline of one question about history, and of each piece of an export."""
    history_retention_days: Annotated[float, Field(gt=0)] | None = None
    """Days after its recording for which history is kept; empty for ever."""

    max_active_tasks: Annotated[int, Field(ge=1)] = 8
    """Tasks that may wait or run at once."""
    worker_concurrency: Annotated[int, Field(ge=1)] = 1
    """Tasks that one worker runs at once."""
    worker_heartbeat_s: PositiveSeconds = 2.0
    """Seconds between two signs of life."""
    worker_metrics_host: str = "127.0.0.1"
    """Address of the worker's /metrics."""
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the worker's /metrics; 0 for none."""

    api_host: str = "127.0.0.1"
    """Address to listen on."""
    api_port: Annotated[int, Field(ge=0, le=65535)] = 3847
    """Port to listen on; when it is not set and taken, the next free one."""
    api_trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1",)
    """Addresses or networks of proxies, separated by commas, whose word on a client's address is taken."""
    access: Literal["off", "on"] = "off"
    """Whether clients must say who they are; off on loopback only."""
    ticket_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    """Signs the tickets of video and WebSocket URLs; 32 characters or more, the same for all API processes."""
    ticket_ttl_s: PositiveSeconds = 3600.0
    """For so long a ticket is good: as long as somebody may watch one sub-video."""
    rate_limit: RateLimit = "1200/minute"
    """Requests of one token or user, video and WebSockets aside; counted where access is on."""
    rate_limit_costly: RateLimit = "60/minute"
    """Of these, those that start tasks, search or export."""
    rate_limit_failures: RateLimit = "60/minute"
    """Tokens and tickets refused to one address."""
    client_websockets: Annotated[int, Field(ge=1)] = 512
    """WebSockets that one client (a token or user at one address) may have open at one API process."""
    client_videos: Annotated[int, Field(ge=1)] = 64
    """Videos that are sent to one client at once, whole or in ranges, by one API process."""
    client_stall_s: Annotated[float, Field(ge=1)] = 120.0
    """A client that takes nothing of what it is sent for as long is hung up on."""
    audit_retention_days: Annotated[float, Field(ge=0)] = 365.0
    """Days for which the audit log remembers who started, steered, searched, exported or was not let in; 0 for ever."""
    oidc_issuer: str | None = None
    """OpenID Connect provider whose tokens are accepted beside API tokens, spelt as in their claim iss."""
    oidc_audience: str | None = None
    """What these tokens have to name in their claim aud."""
    oidc_jwks_url: AnyHttpUrl | None = None
    """The provider's keys; empty: where its discovery document says."""
    oidc_role_claim: str = "roles"
    """The claim that holds viewer or operator; a path with dots leads into objects."""
    oidc_environments_claim: str | None = None
    """The claim that lists the environments that somebody sees; empty: all of them."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins that may call the API from a browser, separated by commas."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is logged."""

    def lost_track_ticks(self, rate: float) -> int:
        """``lost_track_buffer_s`` in ticks, at so many a second."""
        return max(1, round(self.lost_track_buffer_s * rate))

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("cors_origins", "api_trusted_proxies"):
            given = values.get(name)
            if isinstance(given, str):
                values[name] = tuple(each.strip() for each in given.split(",") if each.strip())
        return values

    @model_validator(mode="after")
    def _add_passwords(self) -> Self:
        if self.postgres_password is not None:
            dsn = _with_postgres_password(self.postgres_dsn, self.postgres_password)
            object.__setattr__(self, "postgres_dsn", dsn)
        if self.redis_password is not None:
            object.__setattr__(self, "redis_url", _with_redis_password(self.redis_url, self.redis_password))
        return self

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        if self.video_source == "folder" and self.video_folder is None:
            raise ValueError("video_folder is needed when video_source is 'folder'")
        if self.video_source == "folder" and self.media_delivery == "redirect":
            raise ValueError("media_delivery 'redirect' needs video_source 's3': nobody serves a folder")
        if self.low_detection_threshold > self.detection_threshold:
            raise ValueError("low_detection_threshold lies above detection_threshold")
        if self.api_host not in LOOPBACK and self.access == "off":
            raise ValueError(f"api_host {self.api_host!r} is not loopback, and access is off")
        if self.access == "on" and self.ticket_key is None:
            raise ValueError("ticket_key is needed when access is on")
        if self.oidc_issuer is not None and (self.access == "off" or self.oidc_audience is None):
            raise ValueError("oidc_issuer needs oidc_audience, and access on")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (files are named by variables instead)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over files named in it, and those over ``.env``."""
        return init_settings, env_settings, lambda: _from_files(os.environ), dotenv_settings  # type: ignore[return-value]


def load_settings(**overrides: object) -> Settings:
    """Reads the settings; keyword arguments win over the environment.

    Raises:
        SettingsError: a variable is malformed or unsafe; the message names it as the environment spells it.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(item["loc"], item["msg"]) for item in error.errors())) from None


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings whose value is in a file that ``SPOTON_<NAME>_FILE`` names."""
    values = {}
    for name in Settings.model_fields:
        variable = f"{PREFIX}{name.upper()}_FILE"
        if variable not in environ:
            continue
        if variable.removesuffix("_FILE") in environ:
            raise SettingsError(f"{variable}: {variable.removesuffix('_FILE')} is set as well")
        try:
            values[name] = Path(environ[variable]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}: {environ[variable]} cannot be read: {_reason(error)}") from None
    return values


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not text"


def _with_postgres_password(dsn: SecretStr, password: SecretStr) -> SecretStr:
    try:
        return SecretStr(make_conninfo(dsn.get_secret_value(), password=password.get_secret_value()))
    except psycopg.ProgrammingError:
        raise ValueError("postgres_dsn is malformed") from None


def _with_redis_password(url: SecretStr, password: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{quote(password.get_secret_value(), safe='')}@{host}"
    return SecretStr(urlunsplit(parts._replace(netloc=netloc)))


def env_example() -> str:
    """The text of ``.env.example``: every setting with its default and what it is for."""
    lines = [
        "# Every setting of SpotOn with its default; copy to .env and change what you need.",
        "# SPOTON_<NAME>_FILE in the environment names a file that holds the value.",
    ]
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        value = "" if default is None else ",".join(default) if isinstance(default, tuple) else default
        lines += ["", f"# {field.description}", f"# {PREFIX}{name.upper()}={value}"]
    return "\n".join(lines) + "\n"


def _describe(location: tuple[int | str, ...], message: str) -> str:
    name = "_".join(str(part) for part in location)
    return f"{PREFIX}{name.upper()}: {message}" if name else message.removeprefix("Value error, ")
