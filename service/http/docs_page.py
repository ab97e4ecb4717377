"""`/docs`: the interactive documentation, served whole by this process, with no script inside the page."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from service.http.security_headers import PAGE

router = APIRouter(include_in_schema=False)

ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
HTML: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# The page's address may have more before it than this service knows: all references are relative.
START: Final = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  filter: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  showCommonExtensions: true,
  showExtensions: true,
});
"""


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    page = HTML.format(title=escape(f"{request.app.title} API"))
    return HTMLResponse(page, headers={"content-security-policy": PAGE})


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """What the page shows, and what clients are generated from."""
    return Response(request.app.openapi_text, media_type="application/json")


@router.get("/docs/{name}")
async def docs_asset(name: str) -> Response:
    """A file of the page."""
    if name == "start.js":
        return Response(START, media_type=ASSETS["swagger-ui-bundle.js"])
    if name not in ASSETS:
        raise HTTPException(404)
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={"cache-control": "public, max-age=86400"})
