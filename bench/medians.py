"""From the rounds of a run to one figure each, and back to it by name. Pure."""


def summarize(samples):
    """Rounds of figures → {figure: {median, min, max}}; a failure in any round is kept."""
    failures = [sample["failed"] for sample in samples if "failed" in sample]
    good = [sample for sample in samples if "failed" not in sample]
    summary = {"rounds": len(good)}
    for figure in good[0] if good else ():
        values = sorted(sample[figure] for sample in good)
        middle = len(values) // 2
        median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
        summary[figure] = {"median": median, "min": values[0], "max": values[-1]}
    if failures:
        summary["failed"] = failures[0]
    return summary


class Medians:
    """The medians of a run, None where something was not measured."""

    def __init__(self, results):
        self._scenarios = results["scenarios"]
        self._peers = [name for name, about in results["candidates"].items() if about["kind"] == "peer"]

    def of(self, scenario, candidate, figure):
        figures = self._scenarios.get(scenario, {}).get("candidates", {}).get(candidate, {})
        return figures[figure]["median"] if figure in figures else None

    def title(self, scenario):
        return self._scenarios.get(scenario, {}).get("title", "")

    def best_peer(self, scenario, figure):
        """The lowest figure of a peer and its name."""
        known = [(self.of(scenario, name, figure), name) for name in self._peers]
        return min([one for one in known if one[0] is not None], default=(None, ""))

    def ratio(self, candidate, other, figure):
        """`candidate` and `other`: (scenario, name)."""
        ours, theirs = self.of(*candidate, figure), self.of(*other, figure)
        return ours / theirs if ours is not None and theirs else None
