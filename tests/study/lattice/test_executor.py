"""Processes that carry out a study's tasks."""

import signal
import time

import pytest

from rgdiff_core.study.lattice.executor import _workers


@pytest.mark.slow
def test_an_interrupt_ends_what_is_begun():
    with pytest.raises(KeyboardInterrupt), _workers(2) as (pool, _):
        masked = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
        assert signal.SIGINT in masked  # from the start
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        begun = pool.submit(time.sleep, 10**6)
        while not begun.running():
            time.sleep(0.01)
        raise KeyboardInterrupt
