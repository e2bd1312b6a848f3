"""What members sign, and whose keys count.

A statement is a compact JWS over canonical JSON (RFC 8785); `docs/statements.md` has the payload of each type. The
exchange's word about a key counts for nothing: a fingerprint that officials confirmed leads to the partner card, the
card to the registrars, and a registrar's signature to the key card of a member.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sys
import time
from datetime import datetime, timezone
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from exchange import answer
from exchange_client import Client
from exchange_client.api.directory import directory_show_member, directory_show_partner
from jwcrypto import jwk, jws

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def now() -> str:
    """This second in UTC, as statements write it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def own_id(prefix: str, maker: str) -> str:
    """A new identifier: a time and random bits, and 40 bits that check them and the member who made it."""

    def base32(number: int, letters: int) -> str:
        return "".join(CROCKFORD[number >> 5 * place & 31] for place in reversed(range(letters)))

    begun = f"{prefix}_{base32(int(time.time() * 1000), 10)}{base32(secrets.randbits(40), 8)}"
    check = hashlib.sha256(f"{begun} {maker}".encode()).digest()[:5]
    return begun + base32(int.from_bytes(check, "big"), 8)


def sign(kind: str, payload: dict[str, Any]) -> str:
    """A statement by the member's key, with the member's certificate in it. The key is a P-256 key here."""
    with open(os.environ["CERT"], "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read())
    with open(os.environ["KEY"], "rb") as file:
        key = jwk.JWK.from_pem(file.read())
    leaf = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    signed = jws.JWS(rfc8785.dumps(payload))
    header = {"alg": "ES256", "typ": f"entente-{kind}+jws", "x5c": [leaf]}
    signed.add_signature(key, protected=rfc8785.dumps(header).decode())
    return signed.serialize(compact=True)


def verify(kind: str, text: str) -> tuple[dict[str, Any], bytes, str]:
    """What was signed, its bytes, and the digest of the key that signed."""
    header = json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "=="))
    if set(header) != {"alg", "typ", "x5c"} or header["typ"] != f"entente-{kind}+jws" or len(header["x5c"]) != 1:
        sys.exit(f"this is no statement of type entente-{kind}+jws")
    public = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0])).public_key()
    signed = jws.JWS()
    signed.allowed_algs = ["ES256", "ES384", "EdDSA"]
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed.deserialize(text, jwk.JWK.from_pem(pem))
    payload = json.loads(signed.payload)
    if rfc8785.dumps(payload) != signed.payload:
        sys.exit("the statement is not in canonical form")
    return payload, signed.payload, sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


class Trust:
    """Key cards that were verified, beginning at the pinned fingerprints."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.cards: dict[str, dict[str, Any]] = {}
        with open(os.environ["PINS"], encoding="utf-8") as file:
            self.pins: dict[str, str] = dict(line.split() for line in file if line.strip())

    def card(self, member: str) -> dict[str, Any]:
        """The key card of a member. Keep the highest serial that you have seen, and refuse a lower one."""
        if member in self.cards:
            return self.cards[member]
        code = member.split(":")[0]
        partner = answer(directory_show_partner.sync, code, client=self.client)
        if sha256(partner.card.encode()) != self.pins.get(code):
            sys.exit(f"the card of {code} is not the one you pinned")
        shown = answer(directory_show_member.sync, member, client=self.client)
        card, _, signer = verify("key-card", shown.key_card)
        if signer not in json.loads(partner.card)["registrars"]:
            sys.exit(f"no registrar of {code} signed the key card of {member}")
        is_valid = card["status"] == "active" and card["valid_from"] <= now() < card["valid_until"]
        if card["member"] != member or not is_valid:
            sys.exit(f"the key card of {member} is not in force")
        self.cards[member] = card
        return card

    def signed_by(self, member: str, kind: str, text: str) -> tuple[dict[str, Any], bytes]:
        """What a member signed."""
        payload, raw, signer = verify(kind, text)
        if signer not in self.card(member)["certificates"]:
            sys.exit(f"{member} did not sign this statement of type entente-{kind}+jws")
        return payload, raw

    def signed_by_one_of(self, members: list[str], kind: str, text: str) -> tuple[dict[str, Any], bytes]:
        """What one of several members signed."""
        payload, raw, signer = verify(kind, text)
        if not any(signer in self.card(member)["certificates"] for member in members):
            sys.exit(f"none of {', '.join(members)} signed this statement of type entente-{kind}+jws")
        return payload, raw
