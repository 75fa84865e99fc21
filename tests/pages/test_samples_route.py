"""The WebSocket over which samples follow a drag: who may use it, what it refuses, who wins."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from container import unpack
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

import rgdiff_core as rg
from pages._frame.guard import Hosts
from pages._samples.component import route as route_module
from pages._samples.component.limits import MAX_LINES, MAX_MESSAGE
from pages._samples.component.route import PATH, route
from pages._samples.messages import span
from pages._samples.state import SamplesState, start
from pages._sampling.draw import process
from pages._sampling.models import load
from pages._sampling.setting import Setting
from tests.kept import SETS, cache_with

HERE = Hosts(frozenset({"testserver"}))
SAME = {"origin": "http://testserver"}
BENCH = replace(start(), n=8)
SLOW = replace(BENCH, setting=Setting(steps=200, method="rk4"), n=64)


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep data sets and runs in folders of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", cache_with(tmp_path_factory.mktemp("cache"), *SETS))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield
        route_module._served.clear()  # other tests ask for a page without it


@pytest.fixture
def socket() -> Iterator[WebSocketTestSession]:
    with TestClient(Starlette(routes=[route(HERE)])).websocket_connect(
        PATH, headers=SAME
    ) as open_:
        yield open_


def ask(socket: WebSocketTestSession, seq: int, bench: SamplesState = BENCH, **told: Any) -> None:
    message = {"kind": "draw", "seq": seq, "page_state": json.loads(bench.to_json())}
    socket.send_text(json.dumps(message | {"client_state": bench.component() | told}))


def ask_preview(socket: WebSocketTestSession, seq: int, within: Any, bench: SamplesState) -> None:
    message = {"kind": "draw", "seq": seq, "page_state": json.loads(bench.to_json())}
    socket.send_text(json.dumps(message | {"client_state": bench.component(), "within": within}))


def frames(socket: WebSocketTestSession) -> tuple[dict, dict]:
    """Return header and arrays of the next frames, after the wait for them."""
    while True:
        message = socket.receive()
        assert message["type"] == "websocket.send"
        if message.get("bytes") is not None:
            return unpack(message["bytes"])
        assert json.loads(message["text"])["kind"] == "queued"


def answer(socket: WebSocketTestSession, seq: int) -> tuple[list[dict], list[dict]]:
    """Return headers and arrays of a draw, until it is done; what is of older ones is left out."""
    headers, arrays = [], []
    while not (headers and headers[-1]["done"]):
        header, array = frames(socket)
        if header["seq"] == seq:
            headers.append(header)
            arrays.append(array)
    return headers, arrays


def refusal(socket: WebSocketTestSession) -> tuple[int, str]:
    told = json.loads(socket.receive_text())
    assert told["kind"] == "problem"
    assert "\n" not in told["sentence"] and 0 < len(told["sentence"]) < 320
    return told["seq"], told["sentence"]


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://elsewhere.org"}, {"origin": "http://testserver.evil.org"}]
)
def test_a_page_from_elsewhere_is_refused(headers: dict[str, str]):
    client = TestClient(Starlette(routes=[route(HERE)]))
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(PATH, headers=headers):
        pass


def test_frames_are_those_that_the_library_draws(socket: WebSocketTestSession):
    ask(socket, 7, steps=5, seed=3)
    headers, arrays = answer(socket, 7)
    setting = replace(BENCH.setting, steps=5)
    source = load(setting)
    streams = [torch.Generator().manual_seed(3 * 1_000_003 + i) for i in range(8)]
    states = list(rg.trajectory(source.denoiser, process(setting), 8, 5, setting.method, streams))
    assert [step for header in headers for step in header["of"]] == list(range(6))
    assert np.allclose(
        [t for header in headers for t in header["times"]], [s.time for s in states]
    )
    low, high = span(source)
    for name, wanted in (
        ("x", [state.x for state in states]),
        ("denoised", [state.denoised for state in states[1:]] + [states[-1].x]),
    ):
        sent = np.concatenate([array[name] for array in arrays]).astype(float)
        share = (torch.stack(wanted) - low) / (high - low)  # type: ignore[arg-type]
        assert np.abs(sent - 255 * share.clamp(0, 1).numpy()).max() <= 0.51


def test_the_latest_request_wins(socket: WebSocketTestSession):
    ask(socket, 1, SLOW)
    ask(socket, 2, steps=2)
    headers, _ = answer(socket, 2)
    assert headers[-1]["steps"] == 2
    ask(socket, 3, SLOW)
    time.sleep(0.2)
    socket.send_text('{"kind": "cancel", "seq": 3}')
    ask(socket, 4, steps=1)
    assert answer(socket, 4)[0][-1]["steps"] == 1


def visitor(stack: ExitStack, address: str) -> WebSocketTestSession:
    client = TestClient(Starlette(routes=[route(HERE)]), client=(address, 50000))
    return stack.enter_context(client.websocket_connect(PATH, headers=SAME))


def test_a_short_draw_waits_for_no_long_one_and_long_ones_queue():
    with ExitStack() as stack:
        first, second, third = (visitor(stack, f"10.0.0.{i}") for i in range(3))
        for other in (first, second):
            ask(other, 1, SLOW)
            header, _ = frames(other)  # it is under way
            assert not header["done"]
        ask(third, 1, SLOW)
        assert json.loads(third.receive_text()) == {"kind": "queued", "seq": 1, "place": 1}
        last = visitor(stack, "10.0.0.9")
        ask(last, 1)
        assert answer(last, 1)[0][-1]["done"]
        for other in (first, second):  # theirs went on meanwhile, and were not done
            ask(other, 2, steps=1)
            header, _ = frames(other)
            while header["seq"] == 1:
                assert not header["done"]
                header, _ = frames(other)
        header, _ = frames(third)  # its turn has come
        assert header["seq"] == 1


def test_a_visitor_has_one_long_draw_at_a_time():
    with ExitStack() as stack:
        first, second = (visitor(stack, "10.0.0.1") for _ in range(2))
        ask(first, 1, SLOW)
        frames(first)
        ask(second, 1, SLOW)
        assert json.loads(second.receive_text()) == {"kind": "queued", "seq": 1, "place": 1}
        first.close()
        frames(second)


def test_who_changes_his_mind_keeps_his_place():
    with ExitStack() as stack:
        running = [visitor(stack, f"10.0.0.{i}") for i in range(2)]
        for other in running:
            ask(other, 1, SLOW)
            frames(other)
        early, late = (visitor(stack, f"10.0.1.{i}") for i in range(2))
        for place, other in enumerate((early, late), 1):
            ask(other, 1, SLOW)
            assert json.loads(other.receive_text())["place"] == place
        ask(early, 2, SLOW)
        assert json.loads(early.receive_text()) == {"kind": "queued", "seq": 2, "place": 1}


def test_a_closed_tab_stops_its_draw():
    with ExitStack() as stack:
        for i in range(3):  # more than there are threads
            with ExitStack() as short:
                left = visitor(short, f"10.0.0.{i}")
                ask(left, 1, SLOW)
                time.sleep(0.1)
        last = visitor(stack, "10.0.0.9")
        ask(last, 1, SLOW)
        frames(last)


def test_what_is_too_large_ends_the_connection(socket: WebSocketTestSession):
    socket.send_text("x" * (MAX_MESSAGE + 1))
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert closed.value.code == 1009
    assert "16,384 characters" in closed.value.reason


def test_a_flood_ends_the_connection(socket: WebSocketTestSession):
    for seq in range(300):
        socket.send_text(json.dumps({"kind": "cancel", "seq": seq}))
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert closed.value.code == 1008
    assert "30 messages per second" in closed.value.reason


def test_a_visitor_has_so_many_lines_and_no_more():
    with ExitStack() as stack:
        for _ in range(MAX_LINES):
            visitor(stack, "10.0.0.1")
        with pytest.raises(WebSocketDisconnect) as closed:
            visitor(stack, "10.0.0.1").receive_text()
        assert closed.value.code == 1013
        assert f"{MAX_LINES} of these pages" in closed.value.reason
        other = visitor(stack, "10.0.0.2")
        ask(other, 1, steps=1)
        answer(other, 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "JSON"),
        ("[]", "draw"),
        ('{"kind": "draw"}', "seq"),
        ('{"kind": "draw", "seq": true}', "seq"),
        ('{"kind": "fly", "seq": 1}', "draw"),
        ('{"kind": "draw", "seq": 1}', "kind"),
    ],
)
def test_nonsense_is_one_sentence(socket: WebSocketTestSession, text: str, word: str):
    socket.send_text(text)
    assert word in refusal(socket)[1]
    ask(socket, 5, steps=1)  # the line goes on
    answer(socket, 5)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"steps": 999}, "steps"),
        ({"n": 65}, "n = 65"),
        ({"seed": -1}, "seed"),
        ({"method": "magic"}, "method"),
        ({"grid": "x" * 5000}, "grid"),
        ({"at": "now"}, "at"),
        ({"steps": 1e999}, "steps"),
        ({"sides": []}, "state"),
        ({"sides": [{"points": [[0, 1], [0.5, 2], [1, 0]], "shape": 0.3}]}, "values"),
        ({"sides": [{"points": "abc", "shape": 0.3}]}, "points"),
        ({"sides": [{"points": [[0, 1], [1, 0]], "shape": 1e9}]}, "width"),
    ],
)
def test_numbers_out_of_range_are_one_sentence(
    socket: WebSocketTestSession, told: dict[str, Any], word: str
):
    ask(socket, 9, **told)
    seq, sentence = refusal(socket)
    assert seq == 9 and word in sentence


def test_an_unknown_model_is_one_sentence(socket: WebSocketTestSession):
    ask(socket, 2, replace(BENCH, setting=Setting(model="pretrained/none")))
    assert "pretrained/none" in refusal(socket)[1]


def test_an_ode_method_is_refused_where_the_schedule_jumps(socket: WebSocketTestSession):
    hard = replace(BENCH.setting.side, schedule=rg.schedules.Cutoff(rg.schedules.HardKernel()))
    ask(socket, 2, replace(BENCH, setting=Setting(side=hard)))
    assert "jumps" in refusal(socket)[1]
    ask(socket, 3, replace(BENCH, setting=Setting(side=hard, method="shell", steps=4)))
    answer(socket, 3)


def test_a_preview_is_a_part_of_the_draw_that_it_stands_for(socket: WebSocketTestSession):
    ask_preview(socket, 1, 1e-9, SLOW)  # less than anything takes: one sample in four steps
    headers, arrays = answer(socket, 1)
    assert headers[-1]["whole"] is False and headers[-1]["steps"] == 4
    few = replace(SLOW, n=1, setting=replace(SLOW.setting, steps=4))
    ask(socket, 2, few)
    known, same = answer(socket, 2)
    assert known[-1]["whole"] is True
    assert arrays[-1]["x"].shape[1:] == (1, 1, 6, 6)
    assert np.array_equal(arrays[-1]["x"][-1], same[-1]["x"][-1])
    ask_preview(socket, 3, 10, few)
    assert answer(socket, 3)[0][-1]["whole"] is True


@pytest.mark.parametrize("within", [0, -1, 1e9, "soon"])
def test_a_preview_in_no_time_is_refused(socket: WebSocketTestSession, within: Any):
    ask_preview(socket, 4, within, BENCH)
    seq, sentence = refusal(socket)
    assert seq in (4, -1) and "within" in sentence
