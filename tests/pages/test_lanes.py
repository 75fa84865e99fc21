"""The queues for draws, what is short, models that are asked for a part, and limits of a line."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from patience import PATIENCE

import rgdiff_core as rg
from pages._samples.component.limits import MAX_MESSAGE, Allowance, TooMuch
from pages._samples.state import start
from pages._sampling.draw import draw, process
from pages._sampling.models import fitted, load
from pages._sampling.parts import Parted, affordable, is_short, measured, part, seconds
from pages._sampling.setting import Request, Setting
from pages._sampling.turns import drawn
from pages._shared.lanes import SHORT, Cancelled, Lane, Ticket, in_turn
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import UNet
from rgdiff_core.sampling import METHODS


def assert_opened(gate: threading.Event) -> None:
    """Keep a thread of a lane until the gate is opened."""
    assert gate.wait(PATIENCE)


def test_first_come_first_served_one_for_each_visitor():
    lane, done, began = Lane("test", 2), [], threading.Semaphore(0)
    gates = [threading.Event() for _ in range(5)]
    places: list[list[int]] = [[] for _ in gates]

    def work(number: int) -> None:
        began.release()
        assert gates[number].wait(PATIENCE)
        done.append(number)

    def started(count: int) -> None:
        for _ in range(count):
            assert began.acquire(timeout=PATIENCE)

    tickets = [
        Ticket(visitor, partial(work, i), places[i].append, since=i)
        for i, visitor in enumerate("aabcb")
    ]
    for ticket in tickets:
        lane.join(ticket)
    started(2)  # a's first and b's first
    assert places == [[], [1], [], [2], [3]]
    gates[2].set()
    started(1)  # a has one already, so it is c's turn
    assert places == [[], [1], [], [2], [3, 2]]
    lane.leave(tickets[4])
    gates[0].set()
    started(1)
    gates[1].set()
    gates[3].set()
    last = threading.Event()
    lane.join(Ticket("d", last.set))
    assert last.wait(PATIENCE)
    assert done[:2] == [2, 0] and 4 not in done


def test_a_lane_goes_on_after_a_failure():
    lane, done = Lane("test", 1), threading.Event()
    lane.join(Ticket("a", partial(int, "x")))
    lane.join(Ticket("a", done.set))
    assert done.wait(PATIENCE)


def test_one_who_waits_reads_his_place_and_gets_what_was_made():
    lane, gate, places = Lane("test", 1), threading.Event(), []
    lane.join(Ticket("a", lambda: assert_opened(gate)))

    def waiting(place: int) -> None:
        places.append(place)
        gate.set()

    assert in_turn(lane, "b", lambda look: look() or 7, waiting) == 7
    assert places[0] == 1
    with pytest.raises(ValueError, match="invalid literal"):
        in_turn(lane, "b", lambda look: int("x"))


def test_work_that_nobody_waits_for_is_given_up():
    lane, ended = Lane("test", 1), threading.Event()

    def work(look: Callable[[], None]) -> None:
        try:
            while True:
                look()
                ended.wait(0.001)
        except Cancelled:
            ended.set()
            raise

    def leave(place: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_turn(lane, "a", work, leave)
    assert ended.wait(PATIENCE)
    assert in_turn(lane, "a", lambda look: 7) == 7


def test_a_page_draws_in_the_same_queue_as_the_hand():
    request, gate, done = replace(start().request, n=3, seed=71), threading.Event(), []
    SHORT.join(Ticket("another visitor", lambda: assert_opened(gate)))
    page = threading.Thread(target=lambda: done.append(drawn(request)))
    page.start()
    page.join(1)
    assert not done
    gate.set()
    page.join(PATIENCE)
    assert len(done[0]) == 3 and drawn(request) is done[0]


def test_a_long_draw_ends_within_a_call_of_its_network():
    """Twenty steps ask the network twenty times, operations on tensors are many in each."""
    request = Request(fitted(Setting("pretrained/cifar10", steps=20)), 2, 0)
    assert not is_short(request, load(request.setting))
    looks, frames = [], []

    def look() -> None:
        looks.append(len(frames))
        if len(looks) == 100:
            raise Cancelled

    with pytest.raises(Cancelled):
        draw(request, frames.append, look)
    assert frames == []


def test_images_are_long_work_in_small_parts():
    short, setting = start().request, fitted(Setting("pretrained/cifar10", steps=200))
    fields, images = load(short.setting), load(setting)
    assert is_short(short, fields)
    assert part(fields, short.n) == short.n
    assert not is_short(replace(short, setting=setting), images)
    assert not is_short(replace(short, setting=Setting(method="rk4", steps=200)), fields)
    if not torch.cuda.is_available():
        assert part(images, short.n) <= 16


@pytest.mark.parametrize("method", METHODS)
def test_a_model_asked_for_parts_draws_the_same(method: str):
    setting = Setting(method=method, steps=4)
    model = load(setting).denoiser
    sizes: list[int] = []
    looks: list[None] = []
    hook = model.network.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, given: sizes.append(len(given[0]))
    )
    drawn = []
    try:
        for each in (model, Parted(model, 3, lambda: looks.append(None))):
            sizes.clear()
            streams = [torch.Generator().manual_seed(i) for i in range(7)]
            drawn.append(rg.sample(each, process(setting), 7, 4, setting.sampler, streams))
    finally:
        hook.remove()
    torch.testing.assert_close(drawn[1], drawn[0], atol=1e-4, rtol=1e-4)
    assert set(sizes) == {3, 1}
    assert len(looks) == len(sizes)


def test_what_a_line_may_send():
    now = 0.0
    allowance = Allowance(lambda: now)
    for _ in range(60):
        allowance.take("x")
    with pytest.raises(TooMuch, match="30 messages per second"):
        allowance.take("x")
    now, allowance = 0.0, Allowance(lambda: now)
    for _ in range(2000):  # at the pace of a hand
        now += 0.04
        allowance.take("x" * 2000)
    with pytest.raises(TooMuch, match="16,384 characters"):
        allowance.take("x" * (MAX_MESSAGE + 1))
    now, sent = 0.0, 0
    allowance = Allowance(lambda: now)
    with pytest.raises(TooMuch, match="128 KiB per second"):
        while sent < 100:
            now, sent = now + 1 / 36, sent + 1
            allowance.take("x" * 15_000)
    assert sent < 36


def large_model() -> rg.NetworkDenoiser:
    images = torch.randn(8, 3, 16, 16)
    basis = rg.bases.FourierBasis((3, 16, 16)).float()
    return ModelSpec(UNet(32, (1, 2), 1)).build(basis, rg.Modes.fit(basis, images))


BUDGETS = (1e-4, 0.02, 0.15, 3.0, 1e4)


@pytest.mark.parametrize("model", ["phi4-6x6", "a U-Net"])
@pytest.mark.parametrize("speed", [1e9, 1e12])
def test_what_is_affordable_fits_the_time_and_is_as_much_as_fits(model: str, speed: float):
    setting = Setting(method="rk4", steps=100)
    source = load(setting)
    if model == "a U-Net":  # a network whose fields cost more than its calls
        source = replace(source, denoiser=large_model())
    whole = Request(setting, 64)
    source = replace(source)  # with a speed of its own
    measured(whole, source, seconds(whole, source) * (1 << 37) / speed)
    for within in BUDGETS:
        request = affordable(whole, source, within)
        n, steps = request.n, request.setting.steps
        assert 1 <= n <= 64 and 4 <= steps <= 100
        fewer = replace(whole, setting=replace(setting, steps=2))
        assert affordable(fewer, source, within).setting.steps == 2
        assert seconds(request, source) <= within or (n, steps) == (1, 4)
        if request != whole:
            more = replace(request, setting=replace(request.setting, steps=min(100, steps + 1)))
            most = replace(request, n=min(64, n + 1))
            assert max(seconds(more, source), seconds(most, source)) > within
        else:
            assert seconds(whole, source) <= within


def test_a_large_model_is_as_fast_as_another_until_it_has_drawn():
    request = Request(Setting(), 64)
    small = load(request.setting)
    first, second = (replace(small, denoiser=large_model()) for _ in range(2))
    before = seconds(request, replace(small))
    measured(request, first, 1e9)
    assert seconds(request, second) == pytest.approx(1e9)
    assert seconds(request, replace(small)) == before
    measured(request, second, 2.0)
    assert seconds(request, second) == pytest.approx(2.0)


def test_the_speed_of_a_model_is_learnt_from_its_draws():
    request = Request(Setting(), 64)
    source = replace(load(request.setting))
    measured(request, source, 8.0)
    assert seconds(request, source) == pytest.approx(8.0)
    for _ in range(20):
        measured(request, source, 0.5)
    assert seconds(request, source) == pytest.approx(0.5, rel=1e-3)
    few = replace(request, setting=replace(request.setting, steps=10))
    assert seconds(few, source) == pytest.approx(0.25, rel=1e-3)
