"""PKCS#11 tokens of SoftHSM, behind a module that tests can slow down and break (token_module.c)."""

import glob
import os
import pathlib
import shutil
import subprocess

from support.husk import LIGHT, ROOT
from support.process import Program, eventually

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "2580"


def build_module(directory):
    module = directory / "token_module.so"
    flags = subprocess.run(["pkg-config", "--cflags", "p11-kit-1"], check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", *flags, f'-DSOFTHSM="{SOFTHSM}"', "-o", module,
                    ROOT / "tests/support/token_module.c", "-ldl"], check=True)
    return module


class Store:
    """A directory with tokens of SoftHSM."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.settings = self.directory / "softhsm2.conf"

    def open(self, other=None):
        """Makes it empty, or a copy of another store."""
        if other:
            shutil.copytree(other.directory / "store", self.directory / "store")
        else:
            (self.directory / "store").mkdir()
        self.settings.write_text(f"directories.tokendir = {self.directory}/store\nobjectstore.backend = file\nlog.level = ERROR\n")
        return self

    def _softhsm(self, *arguments):
        subprocess.run(["softhsm2-util", *map(str, arguments)], env={**os.environ, "SOFTHSM2_CONF": str(self.settings)},
                       check=True, capture_output=True)

    def add(self, token, **certificates):
        """Adds a token with the keys of these certificates."""
        self._softhsm("--init-token", "--free", "--label", token, "--pin", PIN, "--so-pin", "12345678")
        for number, (label, certificate) in enumerate(certificates.items()):
            self._softhsm("--import", certificate.key, "--token", token, "--label", label, "--id", f"{number:02x}", "--pin", PIN)


class Tokens:
    """The tokens of one module.

    SoftHSM is linked with OpenSSL, whose functions have the names of BoringSSL's. husk loads a module so that it finds its own
    functions first (RTLD_DEEPBIND), which the run-time library of the sanitizers refuses. Under sanitizers the module runs in a
    process of its own, in which calls come one after the other.
    """

    is_parallel = not LIGHT

    def __init__(self, directory, store, module, programs):
        self.directory = pathlib.Path(directory)
        self.gate, self.fail, self.fail_once, self.lose_once, self.absent, self.lacks, self.flags = (
            self.directory / name for name in ("gate", "fail", "fail-once", "lose-once", "absent", "lacks", "flags"))
        self.pin_file = self.directory / "pin"
        self.pin_file.write_text(PIN + "\n")
        self.pin_file.chmod(0o600)
        self.env = {"SOFTHSM2_CONF": str(Store(directory).open(store).settings), "HUSK_TOKEN_DIRECTORY": str(self.directory)}
        self.module = module if self.is_parallel else self._serve(module, programs)

    def _serve(self, module, programs):
        """The module that reaches `module` in another process."""
        socket = self.directory / "socket"
        programs.add(Program(["p11-kit", "server", "--foreground", "--name", str(socket), "--provider", str(module), "pkcs11:"],
                             "p11-kit server", self.env))
        eventually(socket.exists, "p11-kit server listens")
        self.env["P11_KIT_SERVER_ADDRESS"] = f"unix:path={socket}"
        return glob.glob("/usr/lib/*/pkcs11/p11-kit-client.so")[0]

    def uri(self, label=None, token="husk", query=""):
        attributes = [f"token={token}" * bool(token), f"object={label}" * bool(label), "type=private"]
        return f"pkcs11:{';'.join(filter(None, attributes))}?module-path={self.module}{query}"

    def of(self, certificate, label):
        """The certificate, with its key in the token."""
        return type(certificate)(certificate.cert, self.uri(label))

    def calls(self, name):
        """How often the token was asked: "login", "refused" (a login) or "sign"."""
        path = self.directory / "calls"
        return path.read_text().split().count(name) if path.exists() else 0
