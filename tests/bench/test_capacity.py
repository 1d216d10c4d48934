"""The capacity calculator finds the constants of given results, and computes the needs from the constants."""

import capacity
import pytest

BYTE_S, MESSAGE_S, WAKE_S = 6e-10, 2e-6, 2e-5


def figure(value):
    return {"median": value, "min": value, "max": value}


def results():
    """The results of a benchmark on a machine with exactly these constants."""
    half = capacity.Half(BYTE_S, MESSAGE_S, WAKE_S, 0, 0)

    def both(name, value):
        return {f"{role}_{name}": figure(value) for role in ("client", "server")}

    def flat_out(message_bytes):
        return both("cpu_s_per_gb", half.work_s(message_bytes) * 1e9 / message_bytes)

    spread = half.utilisation(capacity.SPREAD_RATE, capacity.SPREAD_BYTES) / capacity.SPREAD_RATE
    scenarios = {"bulk": {"husk": flat_out(65536)}, "small": {"husk": flat_out(512)},
                 "events": {"husk": {"both_cpu_s_per_gb": figure(2 * half.work_s(102400) * 1e9 / 102400)}},
                 "connections_100": {"husk": both("cpu_us_per_message", spread * 1e6)},
                 "idle": {name: {**both("used_mib", 4), **both("kib_per_connection", 2)}
                          for name in ("husk", "husk-many-tls")},
                 "handshakes_full": {"husk-many-tls": {"server_cpu_ms_per_handshake": figure(0.5)}}}
    return {"candidates": {"husk": {"kind": "husk"}, "husk-many-tls": {"kind": "husk"}},
            "scenarios": {name: {"title": name, "candidates": found} for name, found in scenarios.items()}}


def demand(**changes):
    return capacity.Demand(**{"agents": 1000, "agent_bytes_per_s": 1e6, "message_bytes": 65536,
                              "agents_per_node": 50, "utilisation": 0.5, "replica_workers": 2, **changes})


def test_constants_are_computed_from_results():
    for half in (capacity.constants(results()).client, capacity.constants(results()).server):
        assert half.byte_s == pytest.approx(BYTE_S)
        assert half.message_s == pytest.approx(MESSAGE_S)
        assert half.wake_s == pytest.approx(WAKE_S)
        assert (half.base_bytes, half.connection_bytes) == (4 << 20, 2048)


def test_a_sleeping_worker_pays_for_waking_and_a_busy_one_does_not():
    half = capacity.constants(results()).client
    assert half.utilisation(1, 512) == pytest.approx(half.work_s(512) + WAKE_S, rel=1e-3)
    flood = 2 / half.work_s(512)
    assert half.utilisation(flood, 512) == pytest.approx(2)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.9])
def test_the_rate_is_the_inverse_of_the_utilisation(utilisation):
    half = capacity.constants(results()).client
    assert half.utilisation(half.rate_at(utilisation, 4096), 4096) == pytest.approx(utilisation)


def test_workers_stay_below_the_wanted_utilisation():
    for need in capacity.needs(demand(), capacity.constants(results())):
        assert need.cores <= 0.5 * need.workers


def test_connections_add_up():
    sidecar, behind_sidecars, gateway, behind_gateways = capacity.needs(demand(), capacity.constants(results()))
    assert (sidecar.processes, sidecar.downstream, sidecar.upstream) == (1000, 1, 2)
    assert (gateway.processes, gateway.downstream) == (20, 50)
    assert behind_sidecars.processes * behind_sidecars.downstream >= 2000
    assert behind_gateways.processes == behind_sidecars.processes  # the same load over fewer connections
    assert behind_gateways.downstream < behind_sidecars.downstream


def test_memory_includes_the_retained_messages_and_the_handshakes_of_a_server():
    sidecar, server, *_ = capacity.needs(demand(), capacity.constants(results()))
    assert sidecar.working_bytes == (4 << 20) + 2048
    assert sidecar.limit_bytes - sidecar.working_bytes == 16 << 20
    assert server.limit_bytes - server.working_bytes == 32 << 20


def test_reconnecting_takes_the_time_of_the_handshakes():
    known = capacity.constants(results())
    server = list(capacity.needs(demand(), known))[1]
    assert capacity.reconnect_seconds(server, known) == pytest.approx(server.downstream * 0.5e-3 / server.workers)


def test_predictions_are_compared_with_measured_points():
    [(what, predicted, measured)] = capacity.predictions(results())
    assert "arrays" in what and predicted == pytest.approx(measured)
