"""Draws SVG charts of a run's medians, with the spread of its rounds."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  (must follow the choice of the backend)

COLOURS = {"husk": "#1f6feb", "husk-passthrough": "#58a6ff", "husk-tcp": "#a5d6ff", "husk-many-tls": "#79c0ff",
           "floor": "#8b949e", "stunnel": "#d29922", "haproxy": "#bc4c00", "nginx": "#2da44e", "hitch": "#8250df",
           "ghostunnel": "#cf222e", "fluent-bit": "#116329"}
HALVES = ("client", "server")
TALLEST_S_PER_GB = 5  # the limit of the axis: fluent-bit's bars would make all others look equal


def draw(results, directory):
    """Draws the charts whose scenarios were measured; returns (file name, title) of each."""
    plt.rcParams.update({"svg.hashsalt": "husk", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    scenarios = results["scenarios"]
    drawn = []
    for name, title, draw_one in (
            ("throughput.svg", f"CPU seconds per GB (bars are cut at {TALLEST_S_PER_GB})", _throughput),
            ("short.svg", "CPU per short connection (with its heartbeat)", _short),
            ("memory.svg", "Memory per idle connection", _memory),
            ("latency.svg", "Round trip at the same loads", _latency),
            ("connections.svg", "CPU per message by open connections", _connections)):
        figure = draw_one(scenarios, title)
        if figure:
            figure.savefig(directory / name, metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)
            drawn.append((name, title))
    return drawn


def _candidates(scenarios, name, figure):
    """Returns {candidate: {median, min, max}} for the candidates that have the figure."""
    found = scenarios.get(name, {}).get("candidates", {})
    return {candidate: figures[figure] for candidate, figures in found.items() if figure in figures}


def _halves(axes, scenarios, name, unit):
    """Draws a bar for each half, side by side, with the spread."""
    by_half = {half: _candidates(scenarios, name, f"{half}_{unit}") for half in HALVES}
    names = list(scenarios[name]["candidates"])
    for offset, (half, found) in zip((-0.2, 0.2), by_half.items()):
        at = [i + offset for i, candidate in enumerate(names) if candidate in found]
        bars = [found[candidate] for candidate in names if candidate in found]
        medians = [bar["median"] for bar in bars]
        spread = [[bar["median"] - bar["min"] for bar in bars], [bar["max"] - bar["median"] for bar in bars]]
        axes.bar(at, medians, 0.38, yerr=spread, error_kw={"lw": 0.8},
                 color=[COLOURS[candidate] for candidate in names if candidate in found],
                 alpha=1 if half == "client" else 0.55)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")


def _throughput(scenarios, title):
    names = [name for name in ("bulk", "small", "events") if name in scenarios]
    if not names:
        return None
    figure, all_axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.4), squeeze=False)
    for axes, name in zip(all_axes[0], names):
        _halves(axes, scenarios, name, "cpu_s_per_gb")
        axes.set_ylim(0, min(axes.get_ylim()[1], TALLEST_S_PER_GB))
        axes.set_title(scenarios[name]["title"], fontsize=8)
    all_axes[0][0].set_ylabel("CPU s/GB; full colour: client half")
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def _single(scenarios, name, unit, title, label):
    if name not in scenarios:
        return None
    figure, axes = plt.subplots(figsize=(6, 3.2))
    _halves(axes, scenarios, name, unit)
    axes.set_ylabel(f"{label}; full colour: client half")
    axes.set_title(title)
    return figure


def _short(scenarios, title):
    return _single(scenarios, "short", "cpu_ms_per_chunk", title, "CPU ms")


def _memory(scenarios, title):
    return _single(scenarios, "idle", "kib_per_connection", title, "KiB")


def _lines(axes, scenarios, points, unit):
    """Draws a line for each candidate; `points` is [(x, scenario)]."""
    candidates = dict.fromkeys(one for _, name in points for one in scenarios[name]["candidates"])
    for candidate in candidates:
        line = [(x, scenarios[name]["candidates"].get(candidate, {}).get(unit)) for x, name in points]
        line = [(x, figure["median"]) for x, figure in line if figure]
        if line:
            axes.plot(*zip(*line), marker="o", ms=3, color=COLOURS[candidate], label=candidate)


def _latency(scenarios, title):
    points = [(percent, f"latency_{percent}") for percent in (10, 50, 90) if f"latency_{percent}" in scenarios]
    if not points:
        return None
    figure, all_axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for axes, quantile in zip(all_axes, ("p50", "p99")):
        _lines(axes, scenarios, points, f"{quantile}_us")
        axes.set_yscale("log")
        axes.set_title(quantile)
        axes.set_xlabel("load, % of the slowest candidate's capacity")
    all_axes[0].set_ylabel("µs")
    all_axes[1].legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def _connections(scenarios, title):
    points = [(count, f"connections_{count}") for count in (100, 1000, 10000) if f"connections_{count}" in scenarios]
    if not points:
        return None
    figure, axes = plt.subplots(figsize=(6, 3.2))
    _lines(axes, scenarios, points, "both_cpu_us_per_message")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("open connections")
    axes.set_ylabel("CPU µs per message, both halves")
    axes.set_title(title)
    axes.legend(fontsize=7)
    return figure
