from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from demo import run as flow
from demo.__main__ import main
from demo.client import TaskProgress
from demo.run import DemoOptions, RunError, choose_environment, describe, scene_of
from demo.servers.errors import StoppedBySignalError
from demo.servers.signals import until_signal
from demo.site.scene import Recording
from demo.site.scenes import SCENES
from orchestrator.errors import UnknownEnvironmentError
from orchestrator.site import load_site

SITE = """
environments:
  campus: {cameras: {c01: {prefix: video/c01}}}
"""
SECOND = "  factory: {cameras: {c09: {prefix: video/c09}}}\n"


class Silent:
    def __init__(self) -> None:
        self.calls = 0

    def update(self, done: float, total: float | None, note: str = "") -> None:
        self.calls += 1


def site_file(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_the_only_environment_need_not_be_named(tmp_path: Path) -> None:
    site = load_site(site_file(tmp_path, SITE))
    assert choose_environment(site, None).id == "campus"
    with pytest.raises(UnknownEnvironmentError):
        choose_environment(site, "moon")


def test_one_of_several_environments_must_be_named(tmp_path: Path) -> None:
    site = load_site(site_file(tmp_path, SITE + SECOND))
    assert choose_environment(site, "factory").id == "factory"
    with pytest.raises(RunError, match="campus, factory: name one by --environment"):
        choose_environment(site, None)


def test_scenes_of_other_profiles_and_seeds_are_kept_apart(tmp_path: Path) -> None:
    folders = {
        scene_of(DemoOptions(tmp_path, seed=seed, profile=profile))[1].root
        for seed in (1, 2)
        for profile in ("default", "short")
    }
    assert len(folders) == 4


def test_sizes_go_before_the_profile_and_have_folders_of_their_own(tmp_path: Path) -> None:
    sizes = [
        Recording(),
        Recording(people=3),
        Recording(cameras=3),
        Recording(sub_videos=3),
        Recording(sub_video_seconds=3),
        Recording(sub_video_seconds=3.5),
        Recording(fps=3),
        Recording(width=320),
        Recording(people=3, cameras=3),
    ]
    sites = [scene_of(DemoOptions(tmp_path, profile="short", sizes=each)) for each in sizes]
    assert len({files.root for _, files in sites}) == len(sites)
    assert sites[0][1].root.name == "campus-short-1"
    assert [len(scene.people) for scene, _ in sites[:3]] == [6, 3, 6]


def test_arguments_reach_the_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--people", "3", "--cameras", "2", "--seconds", "0.5", "--sub-videos", "1", "--fps", "4", "--width", "320"]
    assert main(["render", "--scene", "yard", *sizes, "--out", str(tmp_path / "site")]) == 0
    assert f"site.yaml, videos and truth are in {tmp_path / 'site'}" in capsys.readouterr().out.replace("\n", "")
    described = json.loads((tmp_path / "site" / "scene.json").read_text())
    assert {key: described[key] for key in ("name", "people", "cameras", "sub_videos", "frames", "fps")} == {
        "name": "yard", "people": 3, "cameras": ["c01", "c02"], "sub_videos": 1, "frames": 2, "fps": 4,
    }  # fmt: skip


@pytest.mark.parametrize("command", ["render", "contact-sheet", "up"])
def test_only_what_serves_at_its_end_can_be_told_not_to(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--out", "sheet.jpg", "--no-serve"])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["render", "--state", "{file}"], "argument --state: '{file}' is no folder"),
        (["render", "--out", ""], "argument --out: '' is no folder"),
        (["contact-sheet", "--out", "sheet.txt"], "argument --out: 'sheet.txt' does not name a file that ends in .jpg"),
    ],
)
def test_what_cannot_be_written_is_an_error_of_its_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit) as end:
        main([word.format(file=file) for word in words])
    assert end.value.code == 2
    assert complaint.format(file=file) in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_known_before_anything_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["contact-sheet", "--state", str(tmp_path / "state"), "--out", "/proc/nowhere/sheet.jpg"]
    assert main(words) == 1
    assert "/proc/nowhere" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_ctrl_c_while_the_program_is_still_being_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'demo.commands':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "--help"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_help_describes_the_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["render", "--help"])
    words = capsys.readouterr().out
    assert all(f"  {name}" in words and scene.description in words for name, scene in SCENES.items())


def test_progress_in_words() -> None:
    progress = TaskProgress("processing", 1, 4, 240, 60, 480, 41.26, 12.4)
    assert describe(progress) == "batch 2 of 4, 240 frames, 41.3/s, 12 s left"


async def test_first_failure_ends_the_others() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def broken() -> None:
        await asyncio.sleep(0)
        raise RunError("no")

    with pytest.raises(RunError, match="no"):
        await flow._together(endless(), broken())
    assert ended.is_set()


async def test_work_in_a_thread_ends_when_nobody_waits_for_it() -> None:
    step, ended = Silent(), threading.Event()

    def work(report: object) -> None:
        assert callable(report)
        try:
            while True:
                report(1, 2)
                time.sleep(0.01)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flow._in_thread(step, work), 0.1)
    assert await asyncio.to_thread(ended.wait, 5)
    assert step.calls > 0


def test_a_homography_that_cannot_be_fitted_is_found_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, ground = [[0, 0], [5, 0], [10, 0], [0, 10]], [[0, 0], [10, 0], [10, 10], [0, 10]]
    three_on_a_line = f"homography: {{image_points: {image}, map_points: {ground}}}"
    site = site_file(tmp_path, SITE.replace("video/c01", f"video/c01, {three_on_a_line}"))
    tmp_path.joinpath("c01.mp4").touch()
    state = tmp_path / "state"
    assert main(["run", "--site", str(site), "--videos", str(tmp_path), "--state", str(state)]) == 1
    assert "camera c01 of environment campus" in capsys.readouterr().err
    assert not state.exists()


def test_a_signal_before_the_end_is_one_line_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stopped(*_arguments: object, **_options: object) -> None:
        raise StoppedBySignalError(15)

    monkeypatch.setattr(flow, "demo", stopped)
    assert main([]) == 143
    assert capsys.readouterr().err == "python -m demo: stopped by signal 15\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_work_that_has_no_servers(signum: signal.Signals) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            os.kill(os.getpid(), signum)
            await asyncio.sleep(10)
        finally:
            ended.set()

    with pytest.raises(StoppedBySignalError) as caught:
        await until_signal(work())
    assert caught.value.exit_status == 128 + signum
    assert ended.is_set()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "--site", "nowhere.yaml", "--videos", "."], "nowhere.yaml"),
        (["--seed", "123456"], "seed 123456"),
        (["--scene", "moon"], "no scene is called 'moon'"),
        (["--people", "0"], "people must be"),
        (["--seconds", "nan"], "seconds of a sub-video must be"),
        (["--fps", "100000"], "frames a second must be"),
        (["--cameras", "9"], "scene 'campus' has 4 cameras, not 9"),
        (["--width", "8"], "pixels of width must be"),
    ],
)
def test_a_misfit_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    command = words if words[0] == "run" else ["demo", *words]
    assert main([*command, "--state", str(tmp_path / "state")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m demo: ")
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "state").exists()
