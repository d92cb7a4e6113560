"""The dashboard's files and plotly's packaged script, served with caching rules and a content security policy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import Scope

DASHBOARD = Path(__file__).parent.parent / "dashboard"
PLOTLY = "plotly.min.js"
PLOTLY_MAX_AGE_S = 86_400
# plotly writes its styles at run time; nothing else is allowed from outside or inline.
_POLICY = {
    "default-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{directive} {sources}" for directive, sources in _POLICY.items())


def install_dashboard(app: FastAPI) -> None:
    """Serve the dashboard at /dashboard/, plotly's script beside its files, and send / there."""

    @app.get("/", include_in_schema=False)
    async def get_root() -> RedirectResponse:
        return RedirectResponse("/dashboard/")

    app.mount("/dashboard", _Pages(), name="dashboard")


def plotly_folder() -> Path:
    """Return where the installed plotly keeps its script; plotly itself is not imported."""
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "package_data"


class _Pages(StaticFiles):
    """The dashboard's own files are asked for anew each time (an ETag answers 304), so that an upgrade shows at once."""

    def __init__(self) -> None:
        super().__init__(directory=DASHBOARD, html=True)
        self._plotly = StaticFiles(directory=plotly_folder())

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path == PLOTLY:
            response = await self._plotly.get_response(PLOTLY, scope)
            response.headers["Cache-Control"] = f"public, max-age={PLOTLY_MAX_AGE_S}"
            return response
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
