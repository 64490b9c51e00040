"""The faults, a function each: one round at random instants. It returns whether what was disturbed was still at work."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.forked import PATIENCE
from tests.faults.kafka.bench import Bench, Worker
from tests.kafka.proxy import Proxy

SESSION = 1.5
"""Seconds until a member that is silent has lost its partitions: TIMES in worker.py."""


def replayer_killed(bench: Bench) -> bool:
    """SIGKILL of a replayer, three times."""
    place, hits = bench.place(), False
    for _ in range(3):
        after = bench.instant()
        worker = bench.replayer(place)
        hits |= worker.runs(after)
        worker.send(signal.SIGKILL)
        worker.end()
    bench.finish(place)
    return hits


def two_replayers_killed_alternately(bench: Bench) -> bool:
    """SIGKILL of one of two replayers and then of the other, each time with another one in its place."""
    place, hits = bench.place(), False
    workers = [bench.replayer(place), bench.replayer(place)]
    for turn in range(4):
        after = bench.instant() / 2
        hits |= workers[turn % 2].runs(after)
        workers[turn % 2].send(signal.SIGKILL)
        workers[turn % 2].end()
        workers[turn % 2] = bench.replayer(place)
    for worker in workers:
        worker.end()
    bench.finish(place)
    return hits


def zombie(bench: Bench) -> bool:
    """SIGSTOP of one of two replayers until its session is over and the other has its partitions; then SIGCONT."""
    place = bench.place()
    after = bench.instant()
    first = bench.replayer(place)
    second = bench.replayer(place)
    hit = first.runs(after)
    first.send(signal.SIGSTOP)
    second.runs(SESSION + bench.rng.uniform(0.2, 3.0))
    first.send(signal.SIGCONT)
    for worker in (first, second):
        worker.end()
    bench.finish(place)
    return hit


def rebalances_while_sealing(bench: Bench) -> bool:
    """Members come and go (SIGTERM) while others replay."""
    place = bench.place()
    steady = bench.replayer(place)
    hits = False
    for _ in range(3):
        passing = bench.replayer(place)
        hits |= passing.runs(bench.instant() / 3)
        passing.send(signal.SIGTERM)
        passing.end()
    steady.end()
    bench.finish(place)
    return hits


def leader_killed_while_replaying(bench: Bench) -> bool:
    """SIGKILL of the broker that leads a partition, while two replay; it comes back."""
    place = bench.place()
    after = bench.instant()
    topic = bench.log.rpartition("/")[2]
    victim = bench.cluster.kafka.leader(topic, bench.rng.randrange(4))
    workers = [bench.replayer(place), bench.replayer(place)]
    hit = workers[0].runs(after)
    with _dead(bench, victim or 1):
        for worker in workers:
            worker.end()
    bench.finish(place)
    return hit


def leader_killed_while_producing(bench: Bench) -> bool:
    """SIGKILL of the broker that leads a partition, while one produces and another follows."""
    place, log = bench.place(), bench.topic()
    victim = bench.cluster.kafka.leader(log.rpartition("/")[2], bench.rng.randrange(4))
    follower = bench.replayer(place, log=log, follow=True)
    producer = Worker("produce", log=log, source=str(bench.source))
    hit = producer.runs(bench.rng.uniform(0, 2.0))
    with _dead(bench, victim or 1):
        producer.end()
    follower.send(signal.SIGTERM)
    follower.end()
    bench.finish(place, log=log)
    return hit


def network_cut(bench: Bench) -> bool:
    """The network between replayers and brokers is cut, or silent, for shorter or longer than a session."""
    place, log = bench.place(), bench.proxied(bench.log)
    after = bench.instant()
    with Proxy(bench.cluster.routes) as proxy:
        workers = [bench.replayer(place, log=log), bench.replayer(place, log=log)]
        hit = workers[0].runs(after)
        bench.rng.choice((proxy.cut, proxy.hold))()
        workers[0].runs(bench.rng.uniform(0.2, 5.0))
        proxy.heal()
        for worker in workers:
            worker.end()
    bench.finish(place)
    return hit


ROUNDS: dict[str, Callable[[Bench], bool]] = {
    round_.__name__: round_
    for round_ in (
        replayer_killed, two_replayers_killed_alternately, zombie, rebalances_while_sealing,
        leader_killed_while_replaying, leader_killed_while_producing, network_cut,
    )
}  # fmt: skip


@contextmanager
def _dead(bench: Bench, broker: int) -> Iterator[None]:
    """Kill a broker, and bring it back after a second or so, while the work in the block goes on."""
    bench.cluster.kill(broker)
    back = threading.Timer(bench.rng.uniform(0.5, 4.0), bench.cluster.restart, [broker])
    back.start()
    try:
        yield
    finally:
        back.join(PATIENCE)
        bench.cluster.kafka.wait_until_in_sync(bench.log.rpartition("/")[2])
