"""Kill −9 of a whole server that trains, draws and keeps a data set: nothing is lost.

By hand: RGDIFF_KILLS says how often.
"""

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect
from websockets.typing import Origin

from pages._samples.state import start
from rgdiff_core import data
from rgdiff_core.files.atomic import write_text
from rgdiff_core.training import PRESETS, TrainConfig, runs
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.runs import queue
from tests.browser.conftest import started

KILLS = int(os.environ.get("RGDIFF_KILLS", "0"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(0),
    pytest.mark.skipif(not KILLS, reason="by hand: RGDIFF_KILLS=20"),
]
MAX_SECONDS = 4.0  # seconds from the first write to the kill
IMAGES = 400
CONFIG = replace(
    PRESETS["phi4-2min"].config, steps=10**6, batch=8, checkpoint_seconds=0.2, limit=200
)


def enter(config: TrainConfig) -> str:
    """Queue a run, which the server starts, for nobody here looks after the queue."""
    with queue.entered("ours", "ours", "queued") as (run_id, folder):
        write_text(folder / "config.json", config.to_json())
    return run_id


def wait_for_step(run_id: str, least: int) -> None:
    """Wait until a run's last checkpoint is of a step beyond this one."""
    end = time.monotonic() + PATIENCE
    while step_of(run_id) <= least:
        assert time.monotonic() < end, runs.get(run_id)
        time.sleep(0.1)


def step_of(run_id: str) -> int:
    kept = load_checkpoint(runs.run_folder(run_id) / "checkpoint", CONFIG)  # sound, or it raises
    return kept.step if kept else -1


def upload(page: Page, url: str, path: Path) -> None:
    page.goto(f"{url}/spectra?data=phi4-6x6")
    page.get_by_text("Your own images").click()
    page.locator('input[type="file"]').first.set_input_files(path)


def test_a_killed_server_loses_nothing(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    data.load("phi4-6x6", limit=1)  # made once
    chance, run_id, step, kept = random.Random(0), enter(CONFIG), -1, set()
    slow = replace(start(), setting=replace(start().setting, method="rk4", steps=200))
    told = {"kind": "draw", "seq": 1, "page_state": json.loads(slow.to_json())}
    message = json.dumps(told | {"client_state": slow.component()})
    app = None
    try:
        for kill in range(KILLS + 1):
            app, url = started("serve.py", tmp_path)
            with browser.new_context() as context:
                context.set_default_timeout(1000 * PATIENCE)
                training, spectra = context.new_page(), context.new_page()
                training.goto(f"{url}/training")
                wait_for_step(run_id, step)
                if kill == KILLS:
                    expect(training.get_by_role("heading", name="Training")).to_be_visible()
                    break
                fields = tmp_path / f"set-{kill}.npz"
                np.savez(fields, images=np.random.default_rng(kill).random((IMAGES, 16, 16)))
                with connect(url.replace("http", "ws") + "/live/samples", origin=Origin(url)) as s:
                    s.send(message)
                    upload(spectra, url, fields)
                    time.sleep(chance.uniform(0, MAX_SECONDS))
                    app.kill()
                    app.wait()
            assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
            step = step_of(run_id)
            assert [run.problems for run in runs.list_runs()] == [()]
            there = {each.name for each in data.brought()}
            assert kept <= there
            kept = there
            for name in there:
                splits = [data.load(name, split).images for split in ("train", "test")]
                assert sum(map(len, splits)) == IMAGES
        assert runs.get(run_id).state == "running"  # its worker outlives the server
    finally:
        if app is not None:
            app.kill()
            app.wait()
        runs.cancel(run_id)
