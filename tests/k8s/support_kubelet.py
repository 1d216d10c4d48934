"""A kubelet: runs the Pods of real manifests as processes in namespaces of their own. It refuses a field that it does not
know. docs/kubernetes.md says what is emulated and what is not."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from support.process import WAIT_SECONDS, eventually
from support_node import Missing, Network, known, make_volume

# A kubelet asks every periodSeconds. This one asks so many times as often, to keep the tests short. A startup or liveness
# probe fails after the time that the manifest says.
PROBES_PER_PERIOD = 20
BACK_OFF_SECONDS = 0.2  # before a container that has ended starts again; a kubelet begins with 10 s
LEAST_GRACE_SECONDS = 2  # for a container whose turn comes when the grace period is over
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def bytes_of(quantity):
    number, unit = re.fullmatch(r"(\d+)(\w*)", quantity).groups()
    return int(number) * UNITS[unit]


# ---- memory -----------------------------------------------------------------------------------------------


class MemoryGroup:
    """A cgroup with a memory limit. None: this machine lets nobody make one."""

    @classmethod
    def make(cls, name, limit):
        for top, limit_file, peak_file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
                                           ("/sys/fs/cgroup", "memory.max", "memory.peak")):
            path = pathlib.Path(top, name)
            try:
                path.mkdir()
            except OSError:
                continue
            try:
                (path / limit_file).write_text(str(limit))
            except OSError:
                path.rmdir()
                continue
            return cls(path, path / peak_file)
        return None

    def __init__(self, path, peak):
        self._path, self._peak, self.processes = path, peak, str(path / "cgroup.procs")

    def peak(self):
        return int(self._peak.read_text()) if self._peak.exists() else None

    def close(self):
        eventually(self._is_removed, f"{self._path} is empty")

    def _is_removed(self):
        with contextlib.suppress(OSError):
            self._path.rmdir()
        return not self._path.exists()


# ---- a container ------------------------------------------------------------------------------------------


class Container:
    """One container of a Pod. Its supervisor is a thread of the Pod, which starts the program again when it has to."""

    def __init__(self, pod, spec, is_init):
        self.pod, self.spec, self.name = pod, spec, spec["name"]
        known(f"container {self.name}", spec, "name", "image", "imagePullPolicy", "restartPolicy", "command", "args", "env",
              "ports", "startupProbe", "livenessProbe", "readinessProbe", "resources", "securityContext", "volumeMounts",
              "lifecycle")
        self.is_sidecar = is_init and spec.get("restartPolicy") == "Always"
        assert is_init or "restartPolicy" not in spec
        self.restarts_always = self.is_sidecar or (not is_init and pod.spec.get("restartPolicy", "Always") == "Always")
        self.started, self.ready = threading.Event(), "readinessProbe" not in spec
        self.is_stopping, self.process, self.pid = False, None, None
        self.statuses = []  # exit statuses, of the first start first
        self.last_answer = None  # of the readiness probe
        self.log_path = pod.directory / f"{self.name}.log"
        self._log_read, self._log_lines = 0, []  # bytes; parsed
        self._image = pod.node.images[spec["image"]]
        self._lock = threading.Lock()
        self._ended = threading.Event()  # and its end is noted
        self._ended.set()
        self._memory = None
        self._check()

    def _check(self):
        """The fields that only have to be right."""
        assert self.spec.get("imagePullPolicy") in (None, "IfNotPresent")
        for port in self.spec.get("ports", []):
            known("port", port, "name", "containerPort", "protocol")  # informational in Kubernetes, too
        resources = self.spec.get("resources", {})
        known("resources", resources, "requests", "limits")
        known("resources.limits", resources.get("limits", {}), "memory")
        known("lifecycle", self.spec.get("lifecycle", {}), "preStop")
        self.memory_limit = bytes_of(resources.get("limits", {}).get("memory", "0Mi"))
        security = self.spec.get("securityContext", {})
        known("securityContext", security, "runAsNonRoot", "runAsUser", "runAsGroup", "allowPrivilegeEscalation",
              "readOnlyRootFilesystem", "capabilities", "seccompProfile")
        known("capabilities", security.get("capabilities", {}), "drop")
        assert security.get("capabilities", {}).get("drop", ["ALL"]) == ["ALL"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            known(name, self.spec.get(name, {}), "httpGet", "exec", "periodSeconds", "timeoutSeconds", "failureThreshold")

    # ---- start ----

    def _env(self):
        env = {"PATH": PATH, "HOSTNAME": self.pod.name}
        for each in self.spec.get("env", []):
            known("env", each, "name", "value", "valueFrom")
            env[each["name"]] = each["value"] if "value" in each else self._value_from(each["valueFrom"])
        return env

    def _value_from(self, source):
        ((kind, spec),) = source.items()
        if kind == "fieldRef":
            known(kind, spec, "fieldPath", "apiVersion")
            return {"spec.nodeName": "node", "metadata.name": self.pod.name}[spec["fieldPath"]]
        assert kind == "secretKeyRef", kind
        known(kind, spec, "name", "key")
        return self.pod.node.get("secret", self.pod.namespace, spec["name"])[spec["key"]].decode()

    def _command(self):
        if "command" in self.spec:
            return self.spec["command"] + self.spec.get("args", [])
        return self._image.command + self.spec.get("args", [])

    def _user(self):
        """(user, group) of the container, or of the image."""
        both = {**self.pod.security, **self.spec.get("securityContext", {})}
        user = both.get("runAsUser", self._image.user)
        assert not (both.get("runAsNonRoot") and user == 0), f"{self.name}: runAsNonRoot, and the user is root"
        return user, both.get("runAsGroup", user)

    def _runtime_spec(self, report):
        """What container.py needs."""
        root = self.pod.directory / "roots" / self.name
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(exist_ok=True)
        mounts = self._image.unpack(root)
        (root / "etc/resolv.conf").write_text(self.pod.resolv_conf)
        for mount in self.spec.get("volumeMounts", []):
            known("volumeMount", mount, "name", "mountPath", "readOnly")
            (root / mount["mountPath"].strip("/")).mkdir(parents=True, exist_ok=True)
            source, volume = self.pod.volumes[mount["name"]]
            # The kubelet mounts volumes of Secrets and ConfigMaps read-only in any case.
            mounts.append((str(source), mount["mountPath"], mount.get("readOnly", False) or volume is not None))
        user, group = self._user()
        security = self.spec.get("securityContext", {})
        self._env_now = self._env()
        if self.memory_limit and self._memory is None:
            self._memory = MemoryGroup.make(f"pod-test-{os.getpid()}-{self.pod.name}-{self.name}", self.memory_limit)
        return {
            "root": str(root), "is_root_read_only": security.get("readOnlyRootFilesystem", False), "mounts": mounts,
            "network": self.pod.network.fd, "processes": self.pod.processes, "report": report,
            "user": user, "group": group, "groups": [self.pod.group] if self.pod.group is not None else [],
            "drops_capabilities": "capabilities" in security,
            "is_without_new_privileges": security.get("allowPrivilegeEscalation") is False,
            "cgroups": [self._memory.processes] if self._memory else [],
            "command": self._command(), "env": self._env_now}

    def start(self):
        """Returns when the program runs."""
        self.started.clear()
        self.ready = "readinessProbe" not in self.spec
        reading, report = os.pipe()
        spec = self._runtime_spec(report)
        fds = [report, spec["network"]] + [fd for fd in [spec["processes"]] if fd is not None]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, pathlib.Path(__file__).with_name("container.py"), json.dumps(spec)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=fds)
        os.close(report)
        with open(reading, encoding="utf-8") as told:
            pid, *faults = told.read().splitlines() or ["0", "the runtime failed"]
        assert not faults, f"{self.name} cannot start: {faults} {self.log()}"
        self.pid = int(pid)
        self.pod.note(self.name, "started")

    # ---- its output ----

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def lines(self, **fields):
        """The lines of JSON that have these fields. For the thread of the test alone."""
        if self.log_path.exists():
            with open(self.log_path, "rb") as log:
                log.seek(self._log_read)
                whole, newline, _ = log.read().rpartition(b"\n")
            self._log_read += len(whole + newline)
            self._log_lines += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return [line for line in self._log_lines if fields.items() <= line.items()]

    def wait_for_line(self, **fields):
        return self.pod.wait_until(lambda: self.lines(**fields), f"{self.name} writes {fields}")[0]

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def peak_resident_bytes(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024

    def memory_group_peak(self):
        """None: this machine lets nobody make a cgroup."""
        return self._memory.peak() if self._memory else None

    # ---- probes ----

    def execute(self, command, timeout=WAIT_SECONDS):
        """Runs a command in the container, as its user. Returns status and output."""
        user, group = self._user()
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--root", "--wd",
                  "--setuid", str(user), "--setgid", str(group), "--"]
        done = subprocess.run([shutil.which(inside[0]), *inside[1:], *command], capture_output=True, text=True, timeout=timeout,
                              env=self._env_now, check=False)
        return done.returncode, done.stdout + done.stderr

    def ask(self, probe):
        """(whether the probe succeeds, the answer)."""
        timeout = probe.get("timeoutSeconds", 1)
        try:
            if "exec" in probe:
                known("exec", probe["exec"], "command")
                status, text = self.execute(probe["exec"]["command"], timeout)
                return status == 0, text
            known("httpGet", probe["httpGet"], "path", "port")
            status, text = self.pod.get(probe["httpGet"]["port"], probe["httpGet"]["path"], timeout)
            return 200 <= status < 400, text
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
            return False, str(error)

    def _probe_until_end(self):
        """Asks the probes until the program ends. Kills a program that fails its startup or liveness probe."""
        due = {}
        failures = {}
        while not self._has_ended_within(0.02):
            names = ["livenessProbe", "readinessProbe"] if self.started.is_set() else ["startupProbe"]
            for name in names:
                probe = self.spec.get(name)
                if probe is None:
                    self._on_answer(name, True)
                elif time.monotonic() >= due.get(name, 0):
                    period = probe.get("periodSeconds", 10) / PROBES_PER_PERIOD
                    due[name] = time.monotonic() + period
                    is_good, answer = self.ask(probe)
                    failures[name] = 0 if is_good else failures.get(name, 0) + 1
                    threshold = probe.get("failureThreshold", 3)
                    if name == "readinessProbe":
                        self.last_answer = answer
                    if is_good:
                        self._on_answer(name, True)
                    elif failures[name] >= threshold * (1 if name == "readinessProbe" else PROBES_PER_PERIOD):
                        self._on_answer(name, False)

    def _on_answer(self, name, is_good):
        if name == "startupProbe" and is_good:
            self.started.set()
            self.pod.note(self.name, "passed startup")
        elif name == "readinessProbe":
            self.ready = is_good
        elif not is_good:
            self.pod.note(self.name, f"failed {name}")
            self._terminate(time.monotonic() + self.pod.grace_seconds)

    # ---- end ----

    def _has_ended_within(self, seconds):
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def run_once(self):
        """Starts the program, asks its probes and waits for its end. Returns the exit status."""
        with self._lock:
            if self.is_stopping:
                return None
            self.start()
            self._ended.clear()
        self._probe_until_end()
        self.process.stdin.close()
        self.ready = False
        self.statuses.append(self.process.returncode)
        self.pod.note(self.name, "ended")
        self._ended.set()
        return self.process.returncode

    def supervise(self):
        while not self.is_stopping:
            status = self.run_once()
            if not self.restarts_always and (status == 0 or self.pod.spec.get("restartPolicy") == "Never"):
                break
            time.sleep(BACK_OFF_SECONDS)

    def stop(self, deadline):
        """Returns when the container has ended, and its end is noted."""
        self._terminate(deadline)
        assert self._ended.wait(WAIT_SECONDS)

    def _terminate(self, deadline):
        """preStop, SIGTERM, and SIGKILL at the deadline."""
        deadline = max(deadline, time.monotonic() + LEAST_GRACE_SECONDS)
        if self.is_running() and "preStop" in self.spec.get("lifecycle", {}):
            known("preStop", self.spec["lifecycle"]["preStop"], "exec")
            self.pod.note(self.name, "runs preStop")
            with contextlib.suppress(subprocess.TimeoutExpired):
                status, text = self.execute(self.spec["lifecycle"]["preStop"]["exec"]["command"],
                                            max(0.1, deadline - time.monotonic()))
                assert status == 0, text
        self.signal(signal.SIGTERM)
        if self.process and not self._has_ended_within(max(0, deadline - time.monotonic())):
            self.signal(signal.SIGKILL)
            self.process.wait(WAIT_SECONDS)

    def signal(self, number):
        if self.is_running():
            self.pod.note(self.name, signal.Signals(number).name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end_supervision(self):
        """Nothing starts the program again."""
        with self._lock:
            self.is_stopping = True

    def close(self):
        if self._memory:
            self._memory.close()
            self._memory = None


# ---- a Pod ------------------------------------------------------------------------------------------------


class Pod:
    """Runs a Pod: its volumes, its init containers and native sidecars one after the other, and then its containers."""

    def __init__(self, node, name, template, namespace):
        self.node, self.name, self.namespace, self.spec = node, name, namespace, template["spec"]
        known(f"Pod {name}", self.spec, "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks",
              "terminationGracePeriodSeconds", "securityContext", "tolerations", "initContainers", "containers", "volumes",
              "restartPolicy", "shareProcessNamespace")
        self.grace_seconds = self.spec.get("terminationGracePeriodSeconds", 30)
        self.security = self.spec.get("securityContext", {})
        known("securityContext of the Pod", self.security, "runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup",
              "fsGroupChangePolicy", "seccompProfile")
        self.group = self.security.get("fsGroup")
        self.resolv_conf = (f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n"
                            "nameserver 10.244.0.1\noptions ndots:5\n")
        self.directory = node.directory / "pods" / name
        self.init_containers = [Container(self, each, True) for each in self.spec.get("initContainers", [])]
        self.sidecars = [each for each in self.init_containers if each.is_sidecar]
        self.containers = [Container(self, each, False) for each in self.spec["containers"]]
        self.volumes, self.notes = {}, []
        self.is_deleted, self.waits_for = False, None
        self._lock = threading.Lock()
        self.directory.mkdir(parents=True)
        self.network = Network()
        self.address = node.connect(self.network)
        self._pause = self.processes = None
        if self.spec.get("shareProcessNamespace"):
            self._open_process_namespace()
        node.add(self)
        self._supervisors, self._faults = [], []
        self._thread = self._start(self._run)

    def _open_process_namespace(self):
        """Process 1 of the namespace, as the pause container."""
        self._pause = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "infinity"])
        children = pathlib.Path(f"/proc/{self._pause.pid}/task/{self._pause.pid}/children")
        child = eventually(lambda: children.read_text().split(), "the pause container runs")[0]
        self.processes = os.open(f"/proc/{child}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def _start(self, function):
        def run():
            try:
                with self.node.network.entered():  # probes come from the node
                    function()
            except BaseException as fault:  # pylint: disable=broad-except
                self._faults.append(fault)
                raise
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    # ---- what happened ----

    def note(self, container, what):
        with self._lock:
            self.notes.append(f"{container} {what}")

    def check(self):
        """A fault of a thread of the kubelet fails the test."""
        if self._faults:
            raise self._faults[0]
        return True

    def wait_until(self, condition, what):
        try:
            return eventually(lambda: self.check() and condition(), what)
        except AssertionError as late:
            raise AssertionError(f"{self.name}: {late}: {self.notes} {self.logs()}") from None

    def wait_for(self, note):
        self.wait_until(lambda: note in self.notes, note)

    def wait_until_ready(self):
        self.wait_until(lambda: self.is_ready, "the Pod is ready")

    def logs(self):
        return "".join(f"\n---- {each.name}\n{each.log()[-3000:]}" for each in [*self.init_containers, *self.containers])

    @property
    def is_ready(self):
        """Sidecars count."""
        return all(each.started.is_set() and each.ready for each in [*self.sidecars, *self.containers])

    @property
    def phase(self):
        """Succeeded or Failed: the containers have ended for good, and so have the sidecars. Native sidecars do not count."""
        if self._thread.is_alive():
            return "Running"
        return "Succeeded" if all(each.statuses[-1:] == [0] for each in self.containers) else "Failed"

    def container(self, name):
        (found,) = [each for each in [*self.init_containers, *self.containers] if each.name == name]
        return found

    def get(self, port, path, timeout=WAIT_SECONDS):
        """Asks the address of the Pod from the node."""
        with self.node.network.entered():
            connection = http.client.HTTPConnection(self.address, port, timeout=timeout)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

    # ---- its life ----

    def _make_volumes(self):
        while not self.is_deleted:
            try:
                where = self.directory / "volumes"
                self.volumes = {each["name"]: make_volume(self.node, self.namespace, where, self.group, each)
                                for each in self.spec.get("volumes", [])}
                return
            except Missing as missing:
                self.waits_for = str(missing)
                shutil.rmtree(self.directory / "volumes", ignore_errors=True)
                time.sleep(0.02)

    def refresh_volumes(self):
        for _, volume in list(self.volumes.values()):
            if volume:
                with contextlib.suppress(Missing):
                    volume.write()

    def _run(self):
        self._make_volumes()
        for each in self.init_containers:
            if self.is_deleted:
                break
            if each.is_sidecar:
                self._supervisors.append(self._start(each.supervise))
                while not self.is_deleted and not each.started.wait(0.02):
                    self.check()
            else:
                each.supervise()
        mains = [] if self.is_deleted else [self._start(each.supervise) for each in self.containers]
        self._supervisors += mains
        for thread in mains:
            thread.join()
        if not self.is_deleted:  # the Pod has completed
            self._stop_in_turn(self.sidecars[::-1], time.monotonic() + self.grace_seconds)

    def _stop_in_turn(self, containers, deadline):
        for each in containers:
            each.end_supervision()
            each.stop(deadline)

    def delete(self, grace_seconds=None):
        """As kubectl delete. Containers stop at the same time; native sidecars follow in reverse order."""
        deadline = time.monotonic() + (self.grace_seconds if grace_seconds is None else grace_seconds)
        self.is_deleted = True
        for each in [*self.init_containers, *self.containers]:
            each.end_supervision()
        stopping = [self._start(lambda each=each: each.stop(deadline)) for each in self.containers]
        for thread in stopping:
            thread.join()
        self._stop_in_turn(self.sidecars[::-1], deadline)
        for thread in [*self._supervisors, self._thread]:
            thread.join(WAIT_SECONDS)
        self.check()

    def kill(self):
        """For the end of a test."""
        self.is_deleted = True
        for each in [*self.containers, *self.init_containers]:
            each.end_supervision()
            each.signal(signal.SIGKILL)
        for thread in [*self._supervisors, self._thread]:
            thread.join(WAIT_SECONDS)
        for each in [*self.containers, *self.init_containers]:
            each.close()
        if self._pause:
            self._pause.kill()
            self._pause.wait()
            os.close(self.processes)
        self.network.close()
