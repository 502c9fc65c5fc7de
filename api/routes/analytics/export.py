"""A task's tracks as a file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import mot
from api.access.audit import audited
from api.access.rules import COSTLY, AccessDep
from api.dependencies import ServicesDep
from api.download import Download
from api.problems import problem_responses
from api.tabular import TableFormat, encode
from orchestrator.history.queries import task_tracks

router = APIRouter()


class ExportFormat(StrEnum):
    """Which file."""

    MOT = "mot"
    CSV = "csv"
    PARQUET = "parquet"


_CONTENT = {
    "application/zip": {"schema": {"type": "string", "format": "binary"}},
    "text/plain": {"schema": {"type": "string"}, "example": "1,1,412.00,220.50,68.00,210.50,0.9300,12.500,3.100,0\n"},
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}


@router.get(
    "/tasks/{task_id}/export",
    dependencies=[audited("export"), COSTLY],
    response_class=Response,
    responses={200: {"description": "The file.", "content": _CONTENT}, **problem_responses(404, 422, 503)},
)
async def export(
    task_id: str,
    services: ServicesDep,
    access: AccessDep,
    export_format: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.CSV,
    camera_id: Annotated[str | None, Query(max_length=64, description="One camera alone.")] = None,
) -> Download:
    """Every track at every tick. MOT of one camera is a text, that of all cameras a zip with a text for each."""
    task = await access.task(task_id)
    name = task.id
    if camera_id is not None:
        (camera,) = access.environment(task.environment_id).select([camera_id])
        name = f"{name}_{camera.id}"
    blocks = task_tracks(services.database.history, task.id, camera_id)
    match export_format:
        case ExportFormat.MOT if camera_id is None:
            return await Download.start(mot.archive(blocks), "application/zip", f"{name}_mot.zip")
        case ExportFormat.MOT:
            return await Download.start(mot.text(blocks), "text/plain; charset=utf-8", f"{name}.txt")
        case _:
            table = TableFormat(export_format)
            return await Download.start(encode(blocks, table), table.media_type, f"{name}.{table}")
