"""The steps of the seed's PKI, each by openssl or by `husk pki --profile seed`, in every mixture."""

import itertools
import shutil

from support.husk_pki import succeed
from support.pki import SEED_CONFIG, SeedPki, openssl

SECRETS = {"CA": SeedPki.PASSPHRASES["ca"], "SERVER": SeedPki.PASSPHRASES["server"],
           "CLIENT": SeedPki.PASSPHRASES["client"]}
SUBJECT = "/C=US/ST=CA/O=Your company name/CN="

# o: openssl, h: husk pki; for the CA's key, its certificate, a key, its request, its certificate.
MIXTURES = list(itertools.product("oh", repeat=5))


def init(directory, *more):
    return succeed("init", directory, "--profile", "seed", "--ca-only", "--ca-passphrase-env", "CA", *more, env=SECRETS)


def issue(directory, role, name=None, *more):
    return succeed("issue", role, name or role, "--dir", directory, "--ca-passphrase-env", "CA",
                   "--key-passphrase-env", role.upper(), *more, env=SECRETS)


class Openssl:
    """The steps of the seed with its commands."""

    @staticmethod
    def ca_key(directory):
        openssl("genrsa", "-aes256", "-passout", f"pass:{SECRETS['CA']}", "-out", "private/ca.key.pem", 4096, cwd=directory)

    @staticmethod
    def ca_certificate(directory):
        openssl("req", "-config", "openssl.cnf", "-key", "private/ca.key.pem", "-passin", f"pass:{SECRETS['CA']}", "-subj",
                SUBJECT + "ca", "-new", "-x509", "-days", 365, "-sha256", "-extensions", "v3_ca", "-out",
                "certs/ca.crt.pem", cwd=directory)

    @staticmethod
    def request(directory, role):
        openssl("req", "-config", "openssl.cnf", "-key", f"private/{role}.key.pem", "-passin",
                f"pass:{SECRETS[role.upper()]}", "-subj", SUBJECT + role, "-new", "-sha256", "-out",
                f"csr/{role}.csr.pem", cwd=directory)

    @staticmethod
    def sign(directory, role, *more):
        openssl("ca", "-config", "openssl.cnf", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem", "-keyfile",
                "private/ca.key.pem", "-passin", f"pass:{SECRETS['CA']}", "-extensions", f"{role}_cert", "-days", 365,
                "-notext", "-md", "sha256", "-in", f"csr/{role}.csr.pem", "-out", f"certs/{role}.crt.pem", *more,
                cwd=directory)


class Husk:
    """The same steps with husk pki."""

    @staticmethod
    def ca_certificate(directory):
        init(directory)

    @staticmethod
    def request(directory, role):
        succeed("request", role, "--profile", "seed", "--dir", directory, "--key-passphrase-env", role.upper(), env=SECRETS)

    @staticmethod
    def sign(directory, role):
        # The request exists, so no passphrase of its key is needed.
        succeed("issue", role, role, "--dir", directory, "--ca-passphrase-env", "CA", env=SECRETS)


def begin(directory, keys):
    """An empty directory of the seed, with keys that were made before."""
    for name in ("certs", "csr", "private", "newcerts"):
        (directory / name).mkdir(parents=True)
    (directory / "index.txt").touch()
    (directory / "serial").write_text("1000\n")
    (directory / "openssl.cnf").write_text(SEED_CONFIG)
    for name, source in keys.items():
        shutil.copy(source / f"private/{name}.key.pem", directory / "private")


def make(directory, mixture, keys):
    """Makes server and client by the programs of the mixture. `keys`: program → a directory with keys that it made."""
    _, certify, _, request, sign = (Husk if program == "h" else Openssl for program in mixture)
    ca_key, _, leaf_key, _, _ = (keys[program] for program in mixture)
    begin(directory, {"ca": ca_key, "server": leaf_key, "client": leaf_key})
    certify.ca_certificate(directory)
    for role in ("server", "client"):
        request.request(directory, role)
        sign.sign(directory, role)
    return directory
