"""The application: routes, middleware and the OpenAPI document put together."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from api.http import docs_page, errors
from api.http.auth import Authenticate
from api.http.bodies import StorableBody
from api.http.measures import HttpMetrics, Measured, NoMetrics, NoteRoute
from api.http.methods import HeadAndOptions
from api.http.middleware import SecurityHeaders, SoundRequest, TrailingSlash, Unforeseen
from api.http.openapi import describe
from api.http.rate_limit import RateLimiter
from api.http.sections import serve_teams
from api.http.strictness import Strictness
from api.routes import (
    anchors,
    backfills,
    clustering,
    comparisons,
    dataset_runs,
    datasets,
    error_tracking,
    estimates,
    evaluation_config,
    evaluation_reports,
    evaluation_runs,
    evaluations,
    events,
    golden_sets,
    hog_tests,
    identity,
    judge_tests,
    label_queues,
    labels,
    project_tokens,
    provider_keys,
    results,
    trust,
    windows,
)
from api.services.resources import Services

BASE_PATHS = ("/api/projects/{team_id}", "/api/environments/{team_id}")
"""Both are the same thing: clients of either kind find every endpoint."""

# Fixed paths such as evaluations/test_hog come before evaluations/{id}, or they would be taken for ids.
_OF_A_TEAM = (
    hog_tests,
    judge_tests,
    evaluations,
    results,
    windows,
    estimates,
    backfills,
    evaluation_runs,
    evaluation_config,
    evaluation_reports,
    provider_keys,
    clustering,
    project_tokens,
    datasets,
    dataset_runs,
    events,
    labels,
    label_queues,
    golden_sets,
    trust,
    anchors,
    comparisons,
    error_tracking,
)

_BURST_SHARE = 0.25
_MIN_BURST = 20


def create_app(
    services: Services, *, metrics: HttpMetrics | None = None, monotonic_s: Callable[[], float] = time.monotonic
) -> FastAPI:
    """Return the ASGI application over `services`, which the caller opened and closes. `metrics` count requests."""
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
    serve_teams(app, BASE_PATHS, [identity.team_router, *(module.router for module in _OF_A_TEAM)])
    app.include_router(identity.router)
    app.include_router(docs_page.router)
    describe(app)

    def limiter(per_minute: float) -> RateLimiter:
        burst = max(_MIN_BURST, int(per_minute * _BURST_SHARE))
        return RateLimiter(per_minute=per_minute, burst=burst, monotonic_s=monotonic_s)

    # The last one added is the outermost: a request passes them from the bottom of this list to the top.
    app.add_middleware(NoteRoute)
    app.add_middleware(HeadAndOptions, routes=app.routes)
    app.add_middleware(Strictness)
    app.add_middleware(StorableBody, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(
        Authenticate,
        database=services.database,
        limiter=limiter(settings.requests_per_minute),
        failures=limiter(settings.unauthorized_per_minute),
        now=services.now,
        monotonic_s=monotonic_s,
    )
    app.add_middleware(TrailingSlash)
    app.add_middleware(SoundRequest)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match"],
            expose_headers=["ETag", "Retry-After"],
        )
    app.add_middleware(Unforeseen)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, metrics=metrics or NoMetrics(), routes=app.routes)
    app.middleware_stack = app.build_middleware_stack()  # now, so that counters are there before the first request
    return app


def _operation_id(route: APIRoute) -> str:
    return f"environments_{route.name}" if route.path.startswith("/api/environments/") else route.name
