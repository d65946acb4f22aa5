"""What the server counts, in plain numbers; they become Prometheus' families when ``/metrics`` is asked for."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from .state import State

__all__ = ["Metrics"]

LATENCY_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Latency:
    """How many of a kind took how long."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one."""
        self.counts[bisect_left(LATENCY_BOUNDS_S, took_s)] += 1
        self.sum_s += took_s

    def buckets(self) -> list[tuple[str, float]]:
        """For each bound, how many took no longer."""
        n = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, LATENCY_BOUNDS_S), "+Inf"), self.counts, strict=True):
            n += count
            buckets.append((bound, n))
        return buckets


class Metrics:
    """Counters of one server. To be used on its event loop only.

    Attributes:
        in_flight: Requests that are being answered.
        points_inserted: Datapoints stored.
        points_read: Datapoints sent.
        deliveries: How long it took from a commit until all subscribers had been served.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.points_inserted = 0
        self.points_read = 0
        self.deliveries = _Latency()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._latencies: dict[str, _Latency] = {}
        self._started = time.time()

    def observe(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count a request: its route (a template, so that there are few), method, status and duration."""
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        latency = self._latencies.get(route)
        if latency is None:
            latency = self._latencies[route] = _Latency()
        latency.add(took_s)

    def render(self, state: State) -> tuple[bytes, str]:
        """Return the text of ``/metrics`` and its content type."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        registry = CollectorRegistry()
        registry.register(_Collector(self, state))
        ProcessCollector(registry=registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def families(self, state: State) -> Iterable[Metric]:
        """The metrics as Prometheus' client library wants them. Of the store they tell what that kind of it counts."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        info = GaugeMetricFamily("connectordb_info", "The server", labels=["version"])
        info.add_metric([state.version], 1)
        yield info
        yield GaugeMetricFamily("connectordb_started_seconds", "When the server started", value=self._started)
        yield GaugeMetricFamily("connectordb_requests_in_flight", "Requests being answered", value=self.in_flight)
        requests = CounterMetricFamily(
            "connectordb_requests", "Requests answered", labels=["route", "method", "status"]
        )
        for (route, method, status), n in self._requests.items():
            requests.add_metric([route, method, str(status)], n)
        yield requests
        latencies = HistogramMetricFamily(
            "connectordb_request_seconds", "Time from a request to the end of its answer", labels=["route"]
        )
        for route, latency in self._latencies.items():
            latencies.add_metric([route], latency.buckets(), latency.sum_s)
        yield latencies
        yield CounterMetricFamily("connectordb_points_inserted", "Datapoints stored", value=self.points_inserted)
        yield CounterMetricFamily("connectordb_points_read", "Datapoints sent", value=self.points_read)
        yield from self._live_families(state)
        store = state.core.store
        stats, waiting = getattr(store, "stats", None), getattr(store, "waiting", None)
        if stats is not None:
            yield CounterMetricFamily("connectordb_commits", "Transactions", value=stats.groups)
            yield CounterMetricFamily("connectordb_writes", "Writes in these transactions", value=stats.works)
        if waiting is not None:
            yield GaugeMetricFamily("connectordb_writes_waiting", "Writes that wait for the disk", value=waiting)
        yield from self._block_families(store)

    def _block_families(self, store: Any) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        cached, sealed = getattr(store, "cached", None), getattr(store, "sealed", None)
        if cached is not None:
            yield GaugeMetricFamily("connectordb_cache_bytes", "Memory of the blocks that are kept", value=cached.bytes)
            yield CounterMetricFamily("connectordb_cache_hits", "Blocks read that were kept", value=cached.hits)
            yield CounterMetricFamily("connectordb_cache_misses", "Blocks read that were not", value=cached.misses)
        if sealed is not None:
            yield CounterMetricFamily("connectordb_points_sealed", "Datapoints packed into blocks", value=sealed.points)
            yield GaugeMetricFamily(
                "connectordb_seals_waiting", "Streams with datapoints that are to be packed", value=sealed.waiting
            )

    def _live_families(self, state: State) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        hub = state.core.hub
        waiting = sum(session.waiting_bytes for session in state.sessions)
        waiting += sum(stream.waiting_bytes for stream in state.streams)
        yield GaugeMetricFamily("connectordb_websockets", "Websockets that are open", value=len(state.sessions))
        yield GaugeMetricFamily(
            "connectordb_live_streams", "Streams of server-sent events that are open", value=len(state.streams)
        )
        yield GaugeMetricFamily("connectordb_subscriptions", "Subscriptions of all of these", value=hub.subscriptions)
        yield GaugeMetricFamily(
            "connectordb_subscriptions_behind",
            "Streams that subscribers get from the database, to catch up with what is written",
            value=hub.behind,
        )
        yield GaugeMetricFamily(
            "connectordb_lag_points", "Datapoints that those are known to be behind, together", value=hub.lag
        )
        yield GaugeMetricFamily(
            "connectordb_queue_bytes", "Bytes that wait to be sent on websockets and event streams", value=waiting
        )
        yield CounterMetricFamily("connectordb_deliveries", "Inserts handed to subscribers", value=hub.delivered)
        yield CounterMetricFamily(
            "connectordb_points_missed",
            "Datapoints of ephemeral streams, which are stored nowhere, that a subscriber was too slow for",
            value=hub.missed,
        )
        yield CounterMetricFamily(
            "connectordb_drops",
            "Subscriptions that ended because the server failed to deliver: 0, as who is slow catches up",
            value=hub.failed,
        )
        delivery = HistogramMetricFamily(
            "connectordb_delivery_seconds", "Time from a commit until it was handed to all subscribers"
        )
        delivery.add_metric([], self.deliveries.buckets(), self.deliveries.sum_s)
        yield delivery


class _Collector:
    """Gives the registry the metrics of one server."""

    def __init__(self, metrics: Metrics, state: State) -> None:
        self._metrics = metrics
        self._state = state

    def collect(self) -> Iterable[Any]:
        return self._metrics.families(self._state)
