"""What tests of certificates that end need: certificates that live for seconds, and a wall clock that jumps."""

import datetime
import pathlib
import time

from support.pki import Certificate, LOCAL_NAMES, openssl
from support.trust import take_turns

DAY = 24 * 3600
ONE_DAY = ("-days", 1)


class Clock:
    """The wall clock of a husk that is started with `env`. It jumps once."""

    def __init__(self, shim, directory, seconds=2 * DAY):
        self._jumped = directory / "jumped"
        self.env = {"LD_PRELOAD": str(shim), "CLOCK_JUMP_FILE": str(self._jumped), "CLOCK_JUMP_SECONDS": str(seconds)}

    def jump(self):
        self._jumped.touch()


def wait_until_judged(husk):
    """husk has noticed a jump by which its own certificate has ended, or has a tenth of its life left, and its one worker
    has judged all connections."""
    husk.wait_until(lambda _: [one for one in husk.events() if one["message"].startswith("the own certificate")],
                    "a line about the own certificate")
    take_turns(husk)


def short_lived(authority, name, usage, seconds, san=LOCAL_NAMES):
    """A certificate that ends in so many seconds. Returns it, and the time of its end since the epoch."""
    directory, end = authority.directory / f"{name}-{time.monotonic_ns()}", int(time.time()) + seconds
    directory.mkdir()
    made = Certificate(str(directory / "crt"), str(directory / "key"))
    (directory / "index.txt").touch()
    (directory / "cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index.txt\nnew_certs_dir={directory}\nserial={directory}/serial\ndefault_md=sha256\n"
        f"policy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nbasicConstraints=critical,CA:false\n"
        f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\nsubjectAltName={san}\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made.key,
            "-out", directory / "csr", "-subj", f"/CN={name}")
    times = [datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y%m%d%H%M%SZ") for at in (end - DAY, end)]
    openssl("ca", "-batch", "-notext", "-create_serial", "-config", directory / "cnf", "-cert", authority.cert,
            "-keyfile", pathlib.Path(authority.cert).with_suffix(".key"), "-in", directory / "csr", "-out", made.cert,
            "-startdate", times[0], "-enddate", times[1])
    return made, end
