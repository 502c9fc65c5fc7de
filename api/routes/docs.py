"""The API's description as a page to read and to try: Swagger UI out of a package, so that it works offline."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

from api.access.rules import PUBLIC
from api.problems import NotFoundError

PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>SpotOn: API</title>
    <link rel="icon" href="viewer/icon.svg">
    <link rel="stylesheet" href="docs/swagger-ui.css">
    <script defer src="docs/swagger-ui-bundle.js"></script>
    <script defer src="docs/start.js"></script>
  </head>
  <body>
    <div id="page"></div>
  </body>
</html>
"""
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});\n'
MEDIA_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
CACHE = {"cache-control": "max-age=3600"}

router = APIRouter(prefix="/docs", include_in_schema=False, dependencies=[PUBLIC])


@router.head("")
@router.get("")
async def page() -> HTMLResponse:
    """The page; it holds no script of its own, so that the policy of all pages does for it."""
    return HTMLResponse(PAGE)


@router.head("/{file}")
@router.get("/{file}")
def part(file: str) -> Response:
    """A file of Swagger UI, or the line that starts it.

    Raises:
        NotFoundError: there is no such file.
    """
    if file == "start.js":
        return Response(START, media_type="text/javascript", headers=CACHE)
    if file not in MEDIA_TYPES:
        raise NotFoundError(f"the API's description has no file {file!r}")
    content = (files("fastapi_offline") / "static" / file).read_bytes()
    return Response(content, media_type=MEDIA_TYPES[file], headers=CACHE)
