"""Certificates made with the openssl command line: EC certificates of several kinds, and the RSA ones of the seed."""

import functools
import os
import pathlib
import subprocess
from typing import NamedTuple


class Certificate(NamedTuple):
    cert: str
    key: str


def openssl(*arguments, cwd=None, env=None):
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True,
                   env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
LOCAL_NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1"


@functools.cache
def expired():
    """The options of `openssl x509` for a certificate that has expired. Newer releases refuse negative days."""
    known = subprocess.run(["openssl", "x509", "-help"], check=True, capture_output=True, text=True).stderr
    if "-not_after" not in known:
        return "-days", -1
    return "-not_before", "20200101000000Z", "-not_after", "20210101000000Z"


class Authority:
    """A CA with EC keys, which are quick to make."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.cert, self._key = str(self.directory / "ca.crt"), self.directory / "ca.key"
        openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.cert, "-days", 30,
                "-subj", f"/CN=CA {self.directory.name}", "-addext", "basicConstraints=critical,CA:true",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, cn, usage, san=None, validity=("-days", 30), new_key=NEW_KEY):
        """`usage`: serverAuth or clientAuth. Without `san` the name is in the CN only."""
        made = Certificate(str(self.directory / f"{name}.crt"), str(self.directory / f"{name}.key"))
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        extensions.write_text("\n".join(
            ["basicConstraints=critical,CA:false", "keyUsage=critical,digitalSignature",
             f"extendedKeyUsage={usage}", *([f"subjectAltName={san}"] if san else [])]))
        openssl("req", "-new", *new_key, "-keyout", made.key, "-out", request, "-subj", f"/CN={cn}")
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, *validity,
                "-extfile", extensions, "-out", made.cert)
        return made


class RevocationLists:
    """Makes revocation lists of a CA with the command `openssl ca`."""

    def __init__(self, directory, authority):
        self.directory, self.authority = directory, authority

    def make(self, name, *revoked, signer=None, options=("-crldays", 30), extensions=""):
        signer = signer or self.authority
        database = self.directory / name
        database.mkdir()
        (database / "index.txt").touch()
        (database / "crlnumber").write_text("1000\n")
        (database / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}/index.txt\ncrlnumber={database}/crlnumber\n"
            f"default_md=sha256\ncrl_extensions=x\n[x]\n{extensions}\n")
        command = ("ca", "-config", database / "ca.cnf", "-cert", signer.cert,
                   "-keyfile", pathlib.Path(signer.cert).with_suffix(".key"))
        for certificate in revoked:
            openssl(*command, "-revoke", certificate.cert)
        openssl(*command, "-gencrl", *options, "-out", database / "crl.pem")
        return (database / "crl.pem").read_text()

    def bundle(self, *lists):
        path = self.directory / "bundle.pem"
        path.write_text(pathlib.Path(self.authority.cert).read_text() + "".join(lists))
        return str(path)


class Pki:
    """Each kind of certificate that the tests use. A certificate is made at its first use."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def _authority(self, name):
        return Authority(self.directory / name)

    ca = functools.cached_property(lambda self: self._authority("ours"))
    other_ca = functools.cached_property(lambda self: self._authority("theirs"))

    server = functools.cached_property(lambda self: self.ca.issue("server", "server", "serverAuth", LOCAL_NAMES))
    client = functools.cached_property(lambda self: self.ca.issue("client", "client", "clientAuth", "DNS:client"))
    unlisted_client = functools.cached_property(
        lambda self: self.ca.issue("unlisted", "unlisted", "clientAuth", "DNS:unlisted"))
    next_server = functools.cached_property(
        lambda self: self.ca.issue("next", "next", "serverAuth", LOCAL_NAMES))
    cn_only_server = functools.cached_property(
        lambda self: self.ca.issue("cn-only", "localhost", "serverAuth"))
    misnamed_server = functools.cached_property(
        lambda self: self.ca.issue("misnamed", "localhost", "serverAuth", "DNS:elsewhere.example"))
    misused_server = functools.cached_property(
        lambda self: self.ca.issue("misused", "server", "clientAuth", LOCAL_NAMES))
    expired_server = functools.cached_property(
        lambda self: self.ca.issue("expired-server", "server", "serverAuth", LOCAL_NAMES, validity=expired()))
    expired_client = functools.cached_property(
        lambda self: self.ca.issue("expired-client", "client", "clientAuth", "DNS:client", validity=expired()))
    weak_client = functools.cached_property(
        lambda self: self.ca.issue("weak-client", "client", "clientAuth", "DNS:client",
                                   new_key=("-newkey", "rsa:1024", "-nodes")))
    foreign_server = functools.cached_property(
        lambda self: self.other_ca.issue("server", "server", "serverAuth", LOCAL_NAMES))
    foreign_client = functools.cached_property(
        lambda self: self.other_ca.issue("client", "client", "clientAuth", "DNS:client"))

    def locked(self, certificate, passphrase, form):
        """The certificate with its key encrypted. `form`: "pkcs8" (PBES2) or "dek-info" (the older form)."""
        locked = f"{certificate.key}.{form}"
        if form == "pkcs8":
            openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256",
                    "-in", certificate.key, "-passout", f"pass:{passphrase}", "-out", locked)
        else:
            openssl("ec", "-in", certificate.key, "-aes256", "-passout", f"pass:{passphrase}", "-out", locked)
        return Certificate(certificate.cert, locked)


# The seed's openssl.cnf, with the [ v3_ca ] header that is missing in the printed text.
SEED_CONFIG = """
[ ca ]
default_ca = CA_default

[ CA_default ]
dir               = .
certs             = $dir/certs
crl_dir           = $dir/crl
new_certs_dir     = $dir/newcerts
database          = $dir/index.txt
serial            = $dir/serial
RANDFILE          = $dir/private/.rand
private_key       = $dir/private/ca.key.pem
certificate       = $dir/certs/ca.crt.pem
default_md        = sha256
name_opt          = ca_default
cert_opt          = ca_default
default_days      = 365
preserve          = no
policy            = policy_strict

[ req ]
default_bits        = 4096
distinguished_name  = req_distinguished_name
string_mask         = utf8only
default_md          = sha256
x509_extensions     = v3_ca

[ req_distinguished_name ]
countryName                     = Country Name (2 letter code)
stateOrProvinceName             = State or Province Name
localityName                    = Locality Name
0.organizationName              = Organization Name
organizationalUnitName          = Organizational Unit Name
commonName                      = Common Name (required)
emailAddress                    = Email Address
countryName_default             = US
stateOrProvinceName_default     = CA
0.organizationName_default      = Your company name

[ v3_ca ]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always, issuer
basicConstraints = critical,CA:true
keyUsage = critical, cRLSign, digitalSignature, keyCertSign

[ client_cert ]
basicConstraints = CA:FALSE
nsCertType = client, email
nsComment = "OpenSSL Generated Client Certificate"
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid,issuer
keyUsage = critical, nonRepudiation, digitalSignature, keyEncipherment
extendedKeyUsage = clientAuth, emailProtection

[ server_cert ]
basicConstraints = CA:FALSE
nsCertType = server
nsComment = "OpenSSL Generated Server Certificate"
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid,issuer:always
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth

[ policy_strict ]
countryName             = match
stateOrProvinceName     = match
organizationName        = match
organizationalUnitName  = optional
commonName              = supplied
emailAddress            = optional
"""


class SeedPki:
    """The seed's files, made with its commands: RSA 4096, AES-encrypted keys, names in the CN only."""

    PASSPHRASES = {"ca": "1000", "server": "1234", "client": "1111"}  # the last two: the seed's Secrets

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        for name in ("certs", "csr", "private", "newcerts"):
            (self.directory / name).mkdir()
        (self.directory / "index.txt").touch()
        (self.directory / "serial").write_text("1000\n")
        (self.directory / "openssl.cnf").write_text(SEED_CONFIG)

        self._key("ca")
        self._openssl("req", "-key", "private/ca.key.pem", *self._passphrase("ca"), *self._subject("ca"),
                      "-new", "-x509", "-days", 365, "-sha256", "-extensions", "v3_ca",
                      "-out", "certs/ca.crt.pem")
        self.ca = str(self.directory / "certs/ca.crt.pem")
        self.server = self._leaf("server", "server_cert")
        self.client = self._leaf("client", "client_cert")

    def _openssl(self, command, *arguments):
        openssl(command, "-config", "openssl.cnf", *arguments, cwd=self.directory)

    def _passphrase(self, name):
        return "-passin", f"pass:{self.PASSPHRASES[name]}"

    def _subject(self, cn):
        return "-subj", f"/C=US/ST=CA/O=Your company name/CN={cn}"

    def _key(self, name):
        openssl("genrsa", "-aes256", "-passout", f"pass:{self.PASSPHRASES[name]}",
                "-out", f"private/{name}.key.pem", 4096, cwd=self.directory)

    def _leaf(self, name, extensions):
        self._key(name)
        self._openssl("req", "-key", f"private/{name}.key.pem", *self._passphrase(name),
                      *self._subject(name), "-new", "-sha256", "-out", f"csr/{name}.csr.pem")
        self._openssl("ca", "-batch", "-outdir", "certs", "-cert", "certs/ca.crt.pem",
                      "-keyfile", "private/ca.key.pem", *self._passphrase("ca"), "-extensions", extensions,
                      "-days", 365, "-notext", "-md", "sha256",
                      "-in", f"csr/{name}.csr.pem", "-out", f"certs/{name}.crt.pem")
        return Certificate(str(self.directory / f"certs/{name}.crt.pem"),
                           str(self.directory / f"private/{name}.key.pem"))
