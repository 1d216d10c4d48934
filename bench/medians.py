"""Summarises the rounds of a run, and looks up the results by name. Pure."""


def summarize(samples):
    """Returns {figure: {median, min, max}} of the rounds in `samples`, and the first failure, if any round failed."""
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
    """The medians of a run; None for a figure that was not measured."""

    def __init__(self, results):
        self._scenarios = results["scenarios"]
        self._peers = [name for name, about in results["candidates"].items() if about["kind"] == "peer"]

    def of(self, scenario, candidate, figure):
        figures = self._scenarios.get(scenario, {}).get("candidates", {}).get(candidate, {})
        return figures[figure]["median"] if figure in figures else None

    def title(self, scenario):
        return self._scenarios.get(scenario, {}).get("title", "")

    def best_peer(self, scenario, figure):
        """Returns the lowest figure of all peers, and the name of that peer."""
        known = [(self.of(scenario, name, figure), name) for name in self._peers]
        return min([one for one in known if one[0] is not None], default=(None, ""))

    def ratio(self, candidate, other, figure):
        """Returns the quotient of two medians; `candidate` and `other` are (scenario, name)."""
        ours, theirs = self.of(*candidate, figure), self.of(*other, figure)
        return ours / theirs if ours is not None and theirs else None
