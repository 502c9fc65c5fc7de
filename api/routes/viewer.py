"""The viewer page: plain files, as they lie in ``api/viewer/``. Nothing in them is secret; what they ask for is."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from api.access.rules import PUBLIC
from api.problems import NotFoundError

FOLDER = Path(__file__).resolve().parents[1] / "viewer"
PAGE = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CACHE = {"cache-control": "no-cache"}
"""Browsers ask each time whether a file has changed, so that an update of the server is an update of the page."""

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])


@router.head("/")
@router.get("/")
async def page(request: Request) -> Response:
    """The page itself."""
    return _answer(request, FOLDER / PAGE)


@router.head("/viewer/{file}")
@router.get("/viewer/{file}")
async def part(request: Request, file: str) -> Response:
    """A module, the style sheet or a picture of the page.

    Raises:
        NotFoundError: there is no such file.
    """
    found = {path.name: path for path in FOLDER.iterdir()}.get(file)  # the name is compared, never made into a path
    if found is None or found.suffix not in MEDIA_TYPES:
        raise NotFoundError(f"the viewer has no file {file!r}")
    return _answer(request, found)


def _answer(request: Request, path: Path) -> Response:
    stat = path.stat()
    headers = {**CACHE, "etag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=MEDIA_TYPES[path.suffix], stat_result=stat)
