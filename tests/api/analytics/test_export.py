"""A task's tracks as files that other programs read."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.api.analytics.conftest import TICKS, time_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]


async def export(client, task, **params):
    answer = await client.get(f"/api/v1/analytics_data/tasks/{task}/export", params=params)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_tables_hold_every_track_at_every_tick(client, task, form):
    answer = await export(client, task, format=form)
    assert f'filename="{task}.{form}"' in answer.headers["content-disposition"]
    read = {"csv": pyarrow.csv.read_csv, "parquet": pyarrow.parquet.read_table}[form]
    table = read(io.BytesIO(answer.content))
    assert table.num_rows == 3 * TICKS + 20
    rows = table.to_pylist()
    assert {row["task_id"] for row in rows} == {task}
    sitter = [row for row in rows if row["global_id"] == "sitter-2"]
    assert [row["time"] for row in sitter] == [time_of(tick) for tick in range(TICKS)]
    assert {(row["map_x"], row["map_y"], row["x1"]) for row in sitter} == {(5.25, 7.25, 600.0)}
    unnamed = [row for row in rows if not row["global_id"]]
    assert {(row["camera_id"], row["track_id"], row["map_x"]) for row in unnamed} == {("c02", 9, None)}


async def test_mot_has_a_text_for_each_camera_and_one_id_for_each_person(client, task):
    answer = await export(client, task, format="mot")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        assert files.testzip() is None
        assert files.namelist() == ["c01.txt", "c02.txt", "identities.csv"]
        tables = {name: np.loadtxt(files.open(f"{name}.txt"), delimiter=",") for name in ("c01", "c02")}
        identities = dict(line.split(",") for line in files.read("identities.csv").decode().split()[1:])
    number = {name: int(key) for key, name in identities.items()}
    assert tables["c01"].shape == (2 * TICKS, 10)
    walker = tables["c01"][tables["c01"][:, 1] == number["walker-1"]]
    assert walker[:, 0].tolist() == list(range(1, TICKS + 1))
    assert walker[3, 2:].tolist() == [103, 20, 50, 160, 0.9, 0.3, 2.0, 0]
    there = tables["c02"][tables["c02"][:, 1] == number["walker-1"]]
    assert there[:, 0].tolist() == list(range(41, 61))
    nobody = tables["c02"][tables["c02"][:, 1] == number[""]]
    assert set(map(tuple, nobody[:, 7:])) == {(-1, -1, -1)}


async def test_mot_of_one_camera_is_a_text(client, task):
    answer = await export(client, task, format="mot", camera_id="c02")
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.text.splitlines()) == TICKS + 20
    whole = await export(client, task, format="csv", camera_id="c02")
    assert len(whole.text.splitlines()) == TICKS + 20 + 1


@pytest.mark.parametrize("params", [{"format": "xlsx"}, {"camera_id": "c09"}])
async def test_what_is_not_there(client, task, params):
    answer = await client.get(f"/api/v1/analytics_data/tasks/{task}/export", params=params)
    assert answer.status_code == (422 if "format" in params else 404)
