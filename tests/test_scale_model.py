"""The plan's queueing model against what is known of queues, and its command as a whole."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from bench.scale import PAGE, WORST, Ask, Costs, Priced, Served, body, plan, some_ask
from bench.scale_model import Cost, Job, bisect, poisson, simulate

MANY = 20_000


def read(seconds: float) -> Cost:
    """Work for the classifier alone."""
    return Cost(0.0, 0.0, 0.0, seconds)


def test_one_after_the_other_waits_for_who_was_there_before() -> None:
    jobs = [Job(0.0, Cost(0.0, 1.0, 0.0, 2.0)), Job(0.5, Cost(0.0, 1.0, 0.0, 1.0)), Job(20.0, Cost(0.0, 1.0, 0.0, 1.0), 3.0)]
    # 0-1 first's prompt, 1-2 second's prompt, 2-4 first's answer, 4-5 second's answer; the provider's time is not counted
    assert simulate(jobs, 1, random.Random(0)).tolist() == [4.0, 4.5, 2.0]


def test_loop_and_classifier_share_their_core() -> None:
    jobs = [Job(0.0, read(2.0)), Job(0.0, Cost(1.0, 0.0, 0.0, 0.0))]
    # Both at half speed until the loop's second of work is done; then the classifier has the core, and the other one behind it.
    assert simulate(jobs, 1, random.Random(0)).tolist() == [3.0, 3.0]


def test_costs_that_never_vary_wait_as_long_as_m_d_1_says() -> None:
    load = 0.7
    took = simulate(poisson(load, [read(1.0)], MANY, random.Random(1)), 1, random.Random(1))
    assert took.mean() == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def test_costs_by_chance_wait_as_long_as_m_m_1_says() -> None:
    rng, load = random.Random(2), 0.5
    costs = [read(rng.expovariate(1.0)) for _ in range(5000)]
    took = simulate(poisson(load, costs, MANY, rng), 1, rng)
    assert took.mean() == pytest.approx(1 / (1 - load), rel=0.05)
    assert np.quantile(took, 0.99) == pytest.approx(math.log(100) / (1 - load), rel=0.1)


def test_workers_that_share_nothing_are_so_many_queues() -> None:
    one = simulate(poisson(0.6, [Cost(0.25, 0.25, 0.25, 0.25)], MANY, random.Random(3)), 1, random.Random(3))
    four = simulate(poisson(2.4, [Cost(0.25, 0.25, 0.25, 0.25)], MANY, random.Random(4)), 4, random.Random(4))
    assert four.mean() == pytest.approx(one.mean(), rel=0.1)
    assert np.quantile(four, 0.99) == pytest.approx(np.quantile(one, 0.99), rel=0.15)


def test_no_work_is_lost_and_none_is_done_twice() -> None:
    rng = random.Random(5)
    cost = Cost(0.1, 0.3, 0.2, 0.4)
    jobs = [Job(0.0, cost) for _ in range(50)]
    assert simulate(jobs, 1, rng).max() == pytest.approx(50 * sum(cost))


def test_the_highest_load_below_a_bound() -> None:
    assert bisect(lambda load: load, 0.5) == pytest.approx(0.5, abs=0.01)
    assert bisect(lambda load: 1.0, 0.5) == 0


def priced(loop: float, read: float, seed: int, stream: float = 1.0) -> Costs:
    rng = random.Random(seed)
    asks = [some_ask(rng) for _ in range(100)]
    lengths = np.array([ask.prompt + 2 * ask.answer * stream for ask in asks])
    return Costs(asks, 0.001 + loop * lengths, 0.001 + read * lengths, 0.003 + (loop + read) * lengths)


def test_prices_follow_the_lengths() -> None:
    costs, rng = priced(1e-5, 1e-4, 8), random.Random(8)
    found = Priced(costs).of(Ask(100, 50), rng)
    assert found == pytest.approx((0.0015, 0.0105, 0.0015, 0.0105))
    for cost, loop, read in zip(Priced(costs).each(), costs.loop, costs.read, strict=True):
        assert (cost.prompt_loop + cost.answer_loop, cost.prompt_read + cost.answer_read) == pytest.approx((loop, read))
    assert Priced(costs).mean(costs.asks, rng) == pytest.approx(float(costs.cpu.mean())) and costs.base == pytest.approx(0.001)


def test_a_plan_grows_with_the_traffic_and_names_what_is_full() -> None:
    served = Served("default policy", priced(1e-5, 1e-4, 9), priced(3e-5, 3e-4, 10, 2.0))
    most = served.busiest(random.Random(11), 300)
    assert 0.2 < most < 1
    rows = [line.split(" | ") for line in plan(served, most, (300.0, 40.0, 0.2), {"SQLite": 5000.0, "Redis": None}, 100)]
    cores = [int(row[3].replace(",", "")) for row in rows]
    assert cores == sorted(cores) and cores[3] > 90 * cores[1]
    assert "SQLite at 0%" in rows[0][-1] and "more than one takes" in rows[3][-1]
    assert all(float(row[6].split(" / ")[1]) < 1.5 * WORST * 1e3 for row in rows)


def test_what_is_sent_never_repeats_and_is_as_long_as_it_says() -> None:
    rng = random.Random(9)
    one, other = body(Ask(30, 20), rng), body(Ask(30, 20), rng)
    assert one["messages"] != other["messages"] and len(one["bench"]["words"]) == 22  # a number makes it new


def test_the_page_says_what_its_command_measured_and_its_model_was_right() -> None:
    page = (Path(__file__).parents[1] / "bench" / "scale.md").read_text()
    rows = [
        line.split(" | ") for line in page.partition("## Is the model right?")[2].splitlines() if "%" in line and "| " in line
    ]
    rows = [row for row in rows if len(row) == 7]
    assert len(rows) == 7
    for row in rows:
        predicted, measured = float(row[2]), float(row[3])
        assert abs(predicted / measured - 1) <= 0.2 and abs(predicted / measured - 1 - float(row[4].rstrip("%")) / 100) < 0.01
    words = " ".join(PAGE.partition("{plan}")[2].split())
    assert words in " ".join(page.split())
