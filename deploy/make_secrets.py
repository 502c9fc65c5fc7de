"""``python3 deploy/make_secrets.py``: the secrets of ``docker-compose.gpu.yml`` that are not there yet.

``secrets/`` is its owner's alone; the files in it are readable, since each container reads them as a user of its own.
"""

from __future__ import annotations

import secrets
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "secrets"
NAMES = (
    "postgres_password",
    "redis_password",
    "s3_access_key_id",
    "s3_secret_access_key",
    "ticket_key",
    "grafana_password",
)


def main(folder: Path = FOLDER) -> None:
    """Makes what is missing and names it; what is there stays."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in NAMES:
        file = folder / name
        if not file.exists():
            file.write_text(secrets.token_hex(24))
            file.chmod(0o644)
            print(file)


if __name__ == "__main__":
    main()
