"""`/openapi.json`, and `/docs`: the same as an interactive page. All of it comes from this server."""

from functools import cache
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, get
from openapi_ui_bundles import swagger_ui

from tidelog.api.http.parameters import Asset
from tidelog.api.http.problems import Refused

__all__ = ["ROUTES"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tidelog: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});
"""
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
# the page's own scripts alone; Swagger UI styles its elements in place, and draws with data: images
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
BY_PEOPLE = {"login": True}  # a browser that has no token asks for one
KEPT = {"cache-control": "private, max-age=3600"}


@get("/openapi.json", include_in_schema=False, opt=BY_PEOPLE)
async def get_openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The document of this API; made when it is first asked for."""
    kept = request.app.state
    if "openapi" not in kept:
        kept["openapi"] = kept["document"]()
    return Response(kept["openapi"], media_type=MediaType.JSON, headers={"cache-control": "no-store"})


@get("/docs", include_in_schema=False, opt=BY_PEOPLE)
async def get_docs() -> Response[str]:
    """The page."""
    headers = {**KEPT, "content-security-policy": PAGE_POLICY}
    return Response(PAGE, media_type=MediaType.HTML, headers=headers)


@get("/docs/{asset:str}", include_in_schema=False, opt=BY_PEOPLE)
async def get_asset(asset: Asset) -> Response[bytes]:
    """What the page is made of."""
    if asset == "start.js":
        return _asset(START.encode(), "text/javascript")
    if asset not in ASSETS:
        raise Refused(404, "the page has no such part")
    return _asset(_vendored(asset), ASSETS[asset])


def _asset(content: bytes, media_type: str) -> Response[Any]:
    return Response(content, media_type=media_type, headers=KEPT)


@cache
def _vendored(name: str) -> bytes:
    return (Path(str(swagger_ui.static_path)) / name).read_bytes()


ROUTES = [get_openapi, get_docs, get_asset]
