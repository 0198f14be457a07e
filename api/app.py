"""The application: routes, middleware and the OpenAPI document put together."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from api import docs_page, errors
from api.auth import Authenticate
from api.openapi import describe
from api.rate_limit import RateLimiter
from api.routes import (
    backfills,
    dataset_runs,
    datasets,
    estimates,
    evaluation_config,
    evaluation_runs,
    evaluations,
    events,
    hog_tests,
    judge_tests,
    provider_keys,
    results,
)
from api.services import Services
from api.wire import SecurityHeaders, StorableInput, TrailingSlash

BASE_PATHS = ("/api/projects/{team_id}", "/api/environments/{team_id}")
"""Both are the same thing: clients of either kind find every endpoint."""

_BURST_SHARE = 0.25
_MIN_BURST = 20


def create_app(services: Services, *, monotonic_s: Callable[[], float] = time.monotonic) -> FastAPI:
    """Return the ASGI application over `services`, which the caller opened and closes."""
    settings = services.settings.api
    app = FastAPI(
        title="Gavel",
        summary="Evaluations of LLM generations.",
        openapi_url="/api/schema/",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    errors.install(app)
    for base in BASE_PATHS:
        app.include_router(_team_router(), prefix=base)
    app.include_router(docs_page.router)
    describe(app)

    limiter = RateLimiter(
        per_minute=settings.requests_per_minute,
        burst=max(_MIN_BURST, int(settings.requests_per_minute * _BURST_SHARE)),
        monotonic_s=monotonic_s,
    )
    # The last one added is the outermost: a request passes them from the bottom of this list to the top.
    app.add_middleware(StorableInput, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(Authenticate, database=services.database, limiter=limiter, now=services.now)
    app.add_middleware(TrailingSlash)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match"],
            expose_headers=["ETag", "Retry-After"],
        )
    app.add_middleware(SecurityHeaders)
    return app


def _team_router() -> APIRouter:
    router = APIRouter()
    # Fixed paths such as evaluations/test_hog come before evaluations/{id}, or they would be taken for ids.
    for module in (
        hog_tests,
        judge_tests,
        evaluations,
        results,
        estimates,
        backfills,
        evaluation_runs,
        evaluation_config,
        provider_keys,
        datasets,
        dataset_runs,
        events,
    ):
        router.include_router(module.router)
    return router


def _operation_id(route: APIRoute) -> str:
    return f"environments_{route.name}" if route.path.startswith("/api/environments/") else route.name
