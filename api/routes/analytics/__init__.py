"""What history knows of people: a module for each question."""

from __future__ import annotations

from fastapi import APIRouter

from api.access.rules import VIEWER
from api.routes.analytics import export, heatmap, occupancy, people, search, ticks, trajectory, zones

router = APIRouter(prefix="/analytics_data", tags=["analytics"], dependencies=[VIEWER])
for module in (trajectory, people, ticks, heatmap, occupancy, zones, search, export):
    router.include_router(module.router)
