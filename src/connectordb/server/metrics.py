"""What the server counts, in plain numbers; they become Prometheus' families when ``/metrics`` is asked for."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from ..store.base import Store

__all__ = ["Metrics"]

LATENCY_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Latency:
    """How many requests took how long."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.sum_s = 0.0


class Metrics:
    """Counters of one server. To be used on its event loop only.

    Attributes:
        in_flight: Requests that are being answered.
        points_inserted: Datapoints stored.
        points_read: Datapoints sent.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.points_inserted = 0
        self.points_read = 0
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
        latency.counts[bisect_left(LATENCY_BOUNDS_S, took_s)] += 1
        latency.sum_s += took_s

    def render(self, version: str, store: Store) -> tuple[bytes, str]:
        """Return the text of ``/metrics`` and its content type. Of *store* it tells what that kind of store counts."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        registry = CollectorRegistry()
        registry.register(_Collector(self, version, store))
        ProcessCollector(registry=registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def families(self, version: str, store: Store) -> Iterable[Metric]:
        """The metrics as Prometheus' client library wants them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        info = GaugeMetricFamily("connectordb_info", "The server", labels=["version"])
        info.add_metric([version], 1)
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
            n = 0
            buckets = []
            for bound, count in zip((*map(str, LATENCY_BOUNDS_S), "+Inf"), latency.counts, strict=True):
                n += count
                buckets.append((bound, n))
            latencies.add_metric([route], buckets, latency.sum_s)
        yield latencies
        yield CounterMetricFamily("connectordb_points_inserted", "Datapoints stored", value=self.points_inserted)
        yield CounterMetricFamily("connectordb_points_read", "Datapoints sent", value=self.points_read)
        stats, waiting = getattr(store, "stats", None), getattr(store, "waiting", None)
        if stats is not None:
            yield CounterMetricFamily("connectordb_commits", "Transactions", value=stats.groups)
            yield CounterMetricFamily("connectordb_writes", "Writes in these transactions", value=stats.works)
        if waiting is not None:
            yield GaugeMetricFamily("connectordb_writes_waiting", "Writes that wait for the disk", value=waiting)


class _Collector:
    """Gives the registry the metrics of one server."""

    def __init__(self, metrics: Metrics, version: str, store: Store) -> None:
        self._metrics = metrics
        self._version = version
        self._store = store

    def collect(self) -> Iterable[Any]:
        return self._metrics.families(self._version, self._store)
