"""Why a site does not reach the aggregator, in words that say where to look.

gRPC tells little about a connection that failed, so after a failure the site knocks once more with plain sockets and
Python's own TLS, sends nothing, and reports how far it came.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from fl_app.config import Address
from fl_app.transport.identity import Credentials

_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found; ``needs_a_person`` if waiting does not help."""

    text: str
    needs_a_person: bool = False


def diagnose(real: Address, planned: Address, credentials: Credentials, tls_name: str) -> Diagnosis:
    """Knock at the aggregator.

    Args:
        real: where to dial.
        planned: the aggregator's address in the plan, to name in security groups and routes.
        credentials: the site's own.
        tls_name: the name that the aggregator's certificate must carry.
    """
    try:
        plain = socket.create_connection((real.host, real.port), timeout=_SECONDS)
    except ConnectionRefusedError:
        return Diagnosis("nothing listens there yet; is the server started on the aggregator? (make start-server)")
    except TimeoutError:
        return Diagnosis(
            f"no answer; does this site's security group let port {planned.port} out to {planned.host}/32, does the "
            "aggregator's admit this site on it, and do both route tables lead through the peering?"
        )
    except OSError as error:
        return Diagnosis(
            f"{error.strerror or error}; is the peering active, and does this subnet's route table lead to "
            f"{planned.host} through it?"
        )
    with plain:
        return _shake_hands(plain, credentials, tls_name)


def _shake_hands(plain: socket.socket, credentials: Credentials, tls_name: str) -> Diagnosis:
    context = ssl.create_default_context(cadata=credentials.authority.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(credentials.folder / "certificate.pem", credentials.folder / "key.pem")
    try:
        with context.wrap_socket(plain, server_hostname=tls_name) as secure:
            if secure.recv(1):
                return Diagnosis("the aggregator answers; trying again")
            return Diagnosis(
                f"the aggregator ends the connection after seeing this site's certificate ({credentials.peer.uri}): it "
                "is of another authority than the aggregator's, expired or not valid yet by the aggregator's clock",
                needs_a_person=True,
            )
    except ssl.SSLCertVerificationError as error:
        return Diagnosis(
            f"what answers there is not this federation's aggregator {tls_name}: {error.verify_message}; compare "
            f"{credentials.folder / 'authority.pem'} with the coordinator's",
            needs_a_person=True,
        )
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # which of them it is depends on the moment
        return Diagnosis(
            "the connection was closed in the middle of the TLS handshake; the aggregator is starting or ending, or "
            "something between here and there is not let through"
        )
    except ssl.SSLError as error:
        return Diagnosis(f"the TLS handshake failed: {error.reason or error}", needs_a_person=True)
    except OSError as error:
        return Diagnosis(f"the connection broke during the handshake: {error.strerror or error}")
