"""Interactive documentation at `/api/docs`, with the assets of Swagger UI from an installed package.

Nothing is loaded from another host, so the page works where there is no way out.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from api.http.errors import NotFound

router = APIRouter(include_in_schema=False)

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_START = """\
window.onload = () => SwaggerUIBundle({
  url: "/api/schema/", dom_id: "#docs", deepLinking: true, persistAuthorization: true,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout",
});
"""
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gavel API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/api/docs/assets/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/api/docs/assets/swagger-ui-bundle.js"></script>
<script src="/api/docs/assets/start.js"></script></body></html>
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)


@router.get("/api/docs/")
def docs() -> HTMLResponse:
    """The page itself."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/api/docs/assets/{name}/")
def asset(name: str) -> Response:
    """One of the page's scripts and styles."""
    caching = {"Cache-Control": "public, max-age=3600"}
    if name == "start.js":
        return Response(_START, media_type="text/javascript; charset=utf-8", headers=caching)
    if name not in _ASSETS:
        raise NotFound
    content = files("fastapi_offline").joinpath("static", name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers=caching)
