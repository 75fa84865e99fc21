# pyright: reportMissingImports=false
"""Hybrid Monte Carlo of φ⁴ by blackjax with bijx's action: a process of its own, without rgdiff.

Reads one line of JSON with the setting, then one with a number of trajectories at a time; answers
each with one line. The program is compiled for that number once, before the clock starts.
"""

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Serve until the input ends."""
    setting = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting["cores"]])
    # Only now, so that XLA starts as many threads as there are processors for it.
    import blackjax
    import jax
    import jax.numpy as jnp
    from bijx.lattice.scalar import phi4_term

    start = jnp.asarray(setting["start"], jnp.float32)
    chains, size = len(start), setting["size"]

    def log_density(phi: Any) -> Any:
        return -phi4_term(phi, setting["m2"], setting["lam"]).sum()

    kernel = blackjax.hmc(
        log_density,
        step_size=setting["step"],
        inverse_mass_matrix=jnp.ones(size * size),
        num_integration_steps=setting["steps"],
    )

    def trajectory(state: Any, key: Any) -> Any:
        state, info = jax.vmap(kernel.step)(jax.random.split(key, chains), state)
        phi = state.position
        measured = jnp.stack([jnp.abs(phi.mean((-2, -1))), (phi**2).mean((-2, -1))], -1)
        return state, (measured, info.is_accepted)

    state = jax.vmap(kernel.init)(start)
    key = jax.random.key(0)
    programs: dict[int, Any] = {}
    for line in sys.stdin:
        count = json.loads(line)
        compiling = 0.0
        if count not in programs:
            began = time.perf_counter()
            scan = jax.jit(
                lambda s, k, n=count: jax.lax.scan(trajectory, s, jax.random.split(k, n))
            )
            programs[count] = scan.lower(state, key).compile()
            compiling = time.perf_counter() - began
        key, now = jax.random.split(key)
        cpu, wall = time.process_time(), time.perf_counter()
        state, (series, accepted) = jax.block_until_ready(programs[count](state, now))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        answer = {
            "series": series.tolist(),
            "cpu": cpu,
            "wall": wall,
            "accepted": float(accepted.mean()),
            "compiling": compiling,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
