"""What went wrong at the object store, in SpotOn's words: who refused, what was wanted, and whether to try again."""

from __future__ import annotations

from typing import Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from orchestrator.errors import StorageAccessError, StorageError

TRANSPORT_ERRORS: Final = (ClientError, BotoCoreError, aiohttp.ClientError, TimeoutError, OSError)
"""Everything that the S3 client may raise for a reason outside this process."""

_UNREACHABLE: Final = (EndpointConnectionError, ConnectTimeoutError, aiohttp.ClientConnectionError, ConnectionError)
_SLOW: Final = (ReadTimeoutError, TimeoutError)
_BAD_CREDENTIALS: Final = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})
_MISSING: Final = {"NoSuchBucket": "there is no such bucket", "NoSuchKey": "there is no such object"}


def storage_error(error: Exception, doing: str, timeout_s: float) -> StorageError:
    """The error to raise for one of ``TRANSPORT_ERRORS``; ``doing`` names key, bucket and endpoint, never a secret."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error, doing)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageAccessError(f"{doing}: no credentials are set (SPOTON_S3_ACCESS_KEY_ID and its secret)")
    if isinstance(error, ParamValidationError):
        return StorageAccessError(f"{doing}: the name is not one that S3 allows")
    if isinstance(error, _SLOW) and not isinstance(error, ConnectTimeoutError):
        return StorageError(f"{doing}: no answer within {timeout_s:g} s")
    if isinstance(error, _UNREACHABLE):
        return StorageError(f"{doing}: the endpoint cannot be reached")
    return StorageError(f"{doing}: the transfer broke off ({type(error).__name__})")


def _refusal(error: ClientError, doing: str) -> StorageError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _BAD_CREDENTIALS:
        return StorageAccessError(f"{doing}: the credentials are wrong ({code})")
    if code in _MISSING:
        return StorageAccessError(f"{doing}: {_MISSING[code]}")
    if status in {401, 403}:
        return StorageAccessError(f"{doing}: access is denied ({code}); the credentials may be wrong")
    if status in {408, 429} or status >= 500:
        return StorageError(f"{doing}: the store failed ({status} {code})")
    return StorageAccessError(f"{doing}: the store refuses ({status} {code})")
