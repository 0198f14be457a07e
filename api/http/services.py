"""Gives a route the application's services."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.services.resources import Services


async def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesParam = Annotated[Services, Depends(_services)]
