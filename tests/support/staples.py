"""OCSP responses from the command `openssl ocsp`, and a TLS server that staples them."""

import pathlib
import re
import subprocess

from support.pki import openssl


class Responder:
    """Answers for the certificates of a CA. `signer`: a certificate that signs instead of the CA."""

    def __init__(self, directory, authority, signer=None):
        self.directory, self.authority = pathlib.Path(directory), authority
        self.signer = signer
        self.directory.mkdir()

    def respond(self, certificate, status="V", options=()):
        """`status`: V (good), R (revoked) or None (unknown). `options`: of openssl. Returns the path of a response in DER."""
        serial = subprocess.run(["openssl", "x509", "-in", certificate.cert, "-noout", "-serial"], check=True,
                                capture_output=True, text=True).stdout.strip().partition("=")[2]
        index = self.directory / "index.txt"
        revoked = "200101000000Z" if status == "R" else ""
        index.write_text(f"{status}\t491231235959Z\t{revoked}\t{serial}\tunknown\t/CN=x\n" if status else "")
        key = pathlib.Path(self.authority.cert).with_suffix(".key")
        request, response = self.directory / "request", self.directory / "response"
        openssl("ocsp", "-issuer", self.authority.cert, "-cert", certificate.cert, "-reqout", request)
        openssl("ocsp", "-index", index, "-CA", self.authority.cert, "-rsigner", self.signer.cert if self.signer else self.authority.cert,
                "-rkey", self.signer.key if self.signer else key, "-reqin", request, "-respout", response,
                "-ndays", "1", *options)
        return response


class StaplingServer:
    """`openssl s_server`. Its `address` is host and port."""

    def __init__(self, certificate, ca, response=None, version=None):
        # The options of s_server are checked at its start; -quiet would hide the port.
        self._process = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate.cert, "-key", certificate.key, "-CAfile", ca,
             "-Verify", "4", *(["-status_file", response] if response else []), *([f"-tls{version.replace('.', '_')}"] if version else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self._process.stdout:
            if match := re.match(r"ACCEPT .*:(\d+)$", line):
                self.address = ("127.0.0.1", int(match[1]))
                break

    def close(self):
        self._process.kill()
        self._process.communicate()
