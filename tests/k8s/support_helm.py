"""Runs Helm on charts, and reads what it renders."""

import os
import re
import shutil

import yaml

from support_k8s import REPOSITORY, run

CHART = REPOSITORY / "k8s/helm/husk"
README = CHART / "README.md"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
DASHBOARD = CHART / "files/dashboard.json"


def readme_blocks(language, beginning):
    """The blocks of README.md in this language whose text begins in this way."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    return [block for block in blocks if block.lstrip().startswith(beginning)]


class Helm:
    def __init__(self, program, home):
        self.program = program
        self.home = home
        self.environment = {**os.environ, "HELM_CACHE_HOME": str(home / "cache"), "HELM_CONFIG_HOME": str(home / "config"),
                            "HELM_DATA_HOME": str(home / "data"), "KUBECONFIG": str(home / "none")}

    def run(self, *words):
        return run(self.program, *words, env=self.environment)

    def values_file(self, values):
        path = self.home / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def lint(self, *files):
        return self.run("lint", "--strict", CHART, *(word for each in files for word in ("--values", each)))

    def template(self, *files, chart=CHART, values=None):
        if values is not None:
            files = (*files, self.values_file(values))
        return self.run("template", "logs", chart, "--namespace", "logging",
                        *(word for each in files for word in ("--values", each)))

    def objects(self, *files, **options):
        """{(kind, name): object}."""
        done = self.template(*files, **options)
        assert done.returncode == 0, done.stderr
        rendered = [each for each in yaml.safe_load_all(done.stdout) if each]
        by_name = {(each["kind"], each["metadata"]["name"]): each for each in rendered}
        assert len(by_name) == len(rendered)
        return by_name

    def refusal(self, *files, **options):
        """What Helm says about values that it refuses."""
        done = self.template(*files, **options)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def depend(self, name, pod):
        """A chart with a DaemonSet of this Pod template, which depends on the chart of husk."""
        chart = self.home / name
        shutil.rmtree(chart, ignore_errors=True)
        (chart / "templates").mkdir(parents=True)
        shutil.copytree(CHART, chart / "charts/husk")
        (dependencies,) = readme_blocks("yaml", "dependencies:")
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n{dependencies}")
        (chart / "templates/daemonset.yaml").write_text(
            f"apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: {name}\nspec:\n  selector:\n    matchLabels:\n"
            f"      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n{pod}")
        return chart
