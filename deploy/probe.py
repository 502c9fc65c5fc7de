"""``python probe.py URL``: exit status 0 when it answers 200 within two seconds; for containers' health checks."""

from __future__ import annotations

import sys
import urllib.request

DEADLINE_S = 2.0


def main() -> int:
    """Asks, and says in one line what is wrong where something is."""
    (url,) = sys.argv[1:]
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:  # noqa: S310 (the address is the caller's own)
            answer.read()
    except (OSError, ValueError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
