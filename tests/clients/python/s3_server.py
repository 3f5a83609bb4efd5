"""A server of S3's interface for tests in Rust: the moto server. It prints its port, and runs until standard input is
closed, so that it ends with the test process.

With the argument --tls it serves HTTPS, and first prints the path of its certificate, in the folder that follows.
"""

import datetime
import ipaddress
import logging
import pathlib
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from werkzeug.serving import make_server


def certificate(folder: pathlib.Path) -> tuple[str, str]:
    """Makes a certificate for 127.0.0.1, which is its own authority. The paths of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return str(paths[0]), str(paths[1])


def like_s3() -> None:
    """moto answers 500 to a part of an upload that does not exist; S3 and R2 answer 404."""
    store = S3Backend.upload_part

    def upload_part(self, bucket_name: str, multipart_id: str, *rest):
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(multipart_id)
        return store(self, bucket_name, multipart_id, *rest)

    S3Backend.upload_part = upload_part


def main() -> None:
    logging.disable()
    like_s3()
    tls = None
    if sys.argv[1:2] == ["--tls"]:
        tls = certificate(pathlib.Path(sys.argv[2]))
        print(tls[0], flush=True)
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler, ssl_context=tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
