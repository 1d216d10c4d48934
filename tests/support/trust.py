"""What a test of reloads needs: a file of --ca that changes, and the ends that follow."""

import pathlib
import signal

from support.pki import Authority, openssl


class Bundle:
    """The file of --ca."""

    def __init__(self, path, *parts):
        self._path = pathlib.Path(path)
        self.write(*parts)

    def __str__(self):
        return str(self._path)

    def write(self, *parts):
        """Paths of certificates, or texts."""
        texts = [part if "\n" in part else pathlib.Path(part).read_text() for part in parts]
        self._path.write_text("".join(texts))


class Intermediate(Authority):
    """A CA whose certificate is issued by `root`. Peers with its certificates do not send the certificate of the CA."""

    def __init__(self, directory, root):
        super().__init__(directory)
        request, extensions = self.directory / "ca.csr", self.directory / "ca.ext"
        extensions.write_text("basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign")
        openssl("req", "-new", "-key", self._key, "-out", request, "-subj", f"/CN=CA {self.directory.name}")
        openssl("x509", "-req", "-in", request, "-CA", root.cert, "-CAkey", pathlib.Path(root.cert).with_suffix(".key"),
                "-days", 30, "-extfile", extensions, "-out", self.cert)


def renewed(authority, path, days=60):
    """Another certificate of the same CA, with the same name and key. Returns its path."""
    openssl("req", "-x509", "-key", pathlib.Path(authority.cert).with_suffix(".key"), "-out", path, "-days", days,
            "-subj", f"/CN=CA {authority.directory.name}", "-addext", "basicConstraints=critical,CA:true")
    return str(path)


def reload(husk, result="success"):
    """Waits until the connections of a husk with one worker are judged."""
    before = husk.metric("husk_reloads_total", result=result)
    husk.signal(signal.SIGHUP)
    husk.wait_for_metric("husk_reloads_total", before + 1, result=result)
    take_turns(husk)


def take_turns(husk):
    """The loop of the one worker has done what was to be done before."""
    for _ in range(2):
        husk.probe()


def ended(husk, side, reason="distrusted"):
    return husk.metric("husk_connections_ended_total", side=side, reason=reason)


def wait_for_end(husk, side, count=1, reason="distrusted"):
    husk.wait_for_metric("husk_connections_ended_total", count, side=side, reason=reason)
