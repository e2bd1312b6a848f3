"""Hands in a joint proposal of two parties, each on its own machine.

    python hand_in.py begin CALL USA:carol      as ISR:avi; prints the proposal
    python hand_in.py join PROPOSAL             as USA:carol, who is a party from then on
    python hand_in.py sign PROPOSAL             as each of them, in any order
    python hand_in.py receipt PROPOSAL FILE     as each of them: checks what stands, and keeps the signatures

`EXCHANGE`, `EXCHANGE_CA`, `PINS`, `ME`, `CERT`, `KEY`, `AGE_KEY` and `DOCUMENTS` are as in `docs/api.md`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyrage
from cryptography import x509
from exchange import answer, change, connect, pages, upload_to
from exchange_client.api.calls import calls_show
from exchange_client.api.documents import documents_fetch, documents_list, documents_show_upload
from exchange_client.api.proposals import (
    proposals_accept,
    proposals_create,
    proposals_joined,
    proposals_list_manifests,
    proposals_show,
    proposals_sign_manifest,
)
from exchange_client.api.vaults import vaults_create_staff_vault, vaults_list_vaults
from exchange_client.models import (
    AcceptInvitation,
    CreateProposal,
    CreateProposalInvitations,
    CreateProposalParties,
    NewVault,
    SignManifest,
    WrappedKeyIn,
)
from exchange_client.types import UNSET
from statements import Trust, now, own_id, sha256, sign

ME = os.environ["ME"]
MY_PARTY = ME.split(":")[0]
CLIENT = connect()
TRUST = Trust(CLIENT)


def publication(call: str) -> dict[str, Any]:
    """The call's text and its vault as an officer signed them, not as the exchange shows them."""
    shown = answer(calls_show.sync, call, client=CLIENT)
    header = json.loads(base64.urlsafe_b64decode(shown.publication.split(".")[0] + "=="))
    names = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0])).extensions
    uris = names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    )
    officer = next(uri.removeprefix("urn:entente:member:") for uri in uris if uri.startswith("urn:entente:member:"))
    said, _ = TRUST.signed_by(officer, "call", shown.publication)
    if said["call"] != call or "program_officer" not in TRUST.card(officer)["roles"]:
        sys.exit("the publication is not about this call, or not by a program officer")
    return said


class Vault:
    """A vault of a proposal: an age key pair whose identity travels wrapped, one small age file for each reader."""

    def __init__(self, kind: str, call: str, proposal: str, party: str | None = None) -> None:
        self.identity = pyrage.x25519.Identity.generate()
        self.recipient = str(self.identity.to_public())
        self.id = own_id("vault", ME)
        said = {"vault": self.id, "kind": kind, "call": call, "proposal": proposal, "recipient": self.recipient}
        self.statement = sign("vault", said | ({"party": party} if party else {}))

    def body(self, readers: Iterable[str], publication: dict[str, Any]) -> NewVault:
        """As the exchange wants it: wrapped to each recipient of the readers' key cards, and to the call's vault."""
        targets = [(member, recipient) for member in readers for recipient in TRUST.card(member)["recipients"]]
        keys = [self.wrap(*target) for target in [*targets, (publication["vault"], publication["recipient"])]]
        return NewVault(statement=self.statement, keys=keys)

    def wrap(self, to: str, recipient: str) -> WrappedKeyIn:
        sealed = pyrage.encrypt(str(self.identity).encode() + b"\n", [pyrage.x25519.Recipient.from_str(recipient)])
        said = {"vault": self.id, "to": to, "recipient": recipient, "sha256": sha256(sealed)}
        return WrappedKeyIn(statement=sign("wrap", said), ciphertext=base64.b64encode(sealed).decode())


MEDIA_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".json": "application/vnd.entente.summary+json",
    ".pdf": "application/pdf",
}


def put(proposal: str, text: dict[str, Any], recipients: dict[str, str]) -> None:
    """Seals the documents that are named after slots, and uploads them: to each audience by its vault's recipient.

    Every call has a slot `summary` beside those of its text.
    """
    for slot in [{"name": "summary", "audience": "panel"}, *text["slots"]]:
        file = next(iter(sorted(Path(os.environ["DOCUMENTS"]).glob(f"{slot['name']}*"))), None)
        if file is not None and slot["audience"] in recipients:
            upload(proposal, slot["name"], MEDIA_TYPES[file.suffix], file.read_bytes(), recipients[slot["audience"]])


def upload(proposal: str, slot: str, media_type: str, plain: bytes, recipient: str) -> None:
    """Goes on at the byte reached when the line breaks. Large files are better streamed, see `pyrage.encrypt_io`."""
    sealed = pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(recipient)])
    uploader = upload_to(f"/v1/proposals/{proposal}/documents/{slot}/uploads").uploader(
        file_stream=io.BytesIO(sealed),
        metadata={"media_type": media_type, "sha256": sha256(sealed)},
        retries=5,
        retry_delay=2,
    )
    uploader.upload()
    shown = answer(documents_show_upload.sync, proposal, uploader.url.rsplit("/", 1)[1], client=CLIENT)
    stored = shown.document
    if not stored or stored.sha256 != sha256(sealed):
        sys.exit(f"the exchange has stored other bytes in {slot}")
    sealed_here = {**sealed_before(proposal), slot: sha256(sealed)}
    sealed_file(proposal).write_text(json.dumps(sealed_here), encoding="utf-8")


def sealed_file(proposal: str) -> Path:
    return Path(f"sealed-{proposal}-{ME.replace(':', '.')}.json")


def sealed_before(proposal: str) -> dict[str, str]:
    """What was sealed here, by slot. Anybody can seal to a vault, so the exchange's word is not enough to sign."""
    file = sealed_file(proposal)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def vaults(proposal: str, parties: list[str]) -> dict[tuple[str, str | None], Any]:
    """The vaults by kind and party. A member of the parties has to have signed for each of them."""
    found = {}
    for vault in pages(vaults_list_vaults, proposal, client=CLIENT):
        said, _ = TRUST.signed_by_one_of(parties, "vault", vault.statement)
        party = vault.party or None
        same = said["vault"] == vault.id and said["kind"] == vault.kind and said.get("party") == party
        if not same or said["proposal"] != proposal or said["recipient"] != vault.recipient:
            sys.exit(f"the exchange says something else of {vault.id} than its maker")
        found[vault.kind, party] = vault
    return found


def unwrap(vault: Any) -> pyrage.x25519.Identity:
    """The identity of a vault, from the first wrapped key that opens."""
    lines = Path(os.environ["AGE_KEY"]).read_text(encoding="utf-8").splitlines()
    mine = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]
    for key in vault.keys:
        try:
            opened = pyrage.decrypt(base64.b64decode(key.ciphertext), mine)
        except pyrage.DecryptError:
            continue
        identity = pyrage.x25519.Identity.from_str(opened.decode().strip())
        if str(identity.to_public()) == vault.recipient:
            return identity
    sys.exit(f"no wrapped key opens {vault.id}")


def begin(call: str, counterpart: str) -> None:
    """Makes the vaults, invites the counterpart and uploads the documents."""
    text = publication(call)
    proposal = own_id("prop", ME)
    panel, parties = Vault("panel", call, proposal), Vault("parties", call, proposal)
    staff = Vault("staff", call, proposal, MY_PARTY)
    invitation = sign("invitation", {"proposal": proposal, "member": counterpart, "stated_at": now()})
    body = CreateProposal(
        id=proposal,
        call=call,
        topic=next(iter(text["text"]["topics"]), UNSET),
        parties=CreateProposalParties.from_dict({MY_PARTY: [ME], counterpart.split(":")[0]: [counterpart]}),
        invitations=CreateProposalInvitations.from_dict({counterpart: invitation}),
        vaults=[panel.body([ME, counterpart], text), parties.body([ME, counterpart], text), staff.body([ME], text)],
    )
    change(proposals_create, client=CLIENT, body=body, call=call)
    put(proposal, text["text"], {"panel": panel.recipient, "staff": staff.recipient})
    print(proposal)


def join(proposal: str) -> None:
    """Reads what is there, accepts the invitation, and adds the own restricted documents."""
    shown = answer(proposals_show.sync, proposal, client=CLIENT)
    parties = [member for members in shown.parties.additional_properties.values() for member in members]
    asked = next(joined for joined in pages(proposals_joined, proposal, client=CLIENT) if joined.member == ME)
    invitation, raw = TRUST.signed_by_one_of(parties, "invitation", asked.invitation)
    if invitation["proposal"] != proposal or invitation["member"] != ME:
        sys.exit("the invitation is about something else")
    read(proposal, "work-plan", vaults(proposal, parties)["panel", None])
    said = {"proposal": proposal, "member": ME, "invitation_sha256": sha256(raw), "stated_at": now()}
    change(proposals_accept, proposal, client=CLIENT, body=AcceptInvitation(statement=sign("acceptance", said)))
    text = publication(shown.call)
    staff = Vault("staff", shown.call, proposal, MY_PARTY)
    change(vaults_create_staff_vault, proposal, client=CLIENT, body=staff.body([ME], text))
    put(proposal, text["text"], {"staff": staff.recipient})


def read(proposal: str, slot: str, vault: Any) -> bytes:
    """A document, opened."""
    held = pages(documents_list, proposal, client=CLIENT)
    document = next(document for document in held if document.slot == slot and document.vault == vault.id)
    sealed = answer(documents_fetch.sync, proposal, document.id, client=CLIENT).payload.read()
    if sha256(sealed) != document.sha256:
        sys.exit(f"{document.id} has other bytes than it should")
    return pyrage.decrypt(sealed, [unwrap(vault)])


def manifest(proposal: str) -> tuple[dict[str, Any], list[str]]:
    """What is handed in: every document, sorted by slot and party, under the text of the call that was read."""
    shown = answer(proposals_show.sync, proposal, client=CLIENT)
    parties = [member for members in shown.parties.additional_properties.values() for member in members]
    recipients = {vault.id: vault.recipient for vault in vaults(proposal, parties).values()}
    documents = [
        {
            "slot": held.slot,
            "vault": held.vault,
            "recipient": recipients[held.vault],
            "sha256": held.sha256,
            "size": held.size,
            "media_type": held.media_type,
        }
        | ({"party": held.party} if held.party else {})
        for held in pages(documents_list, proposal, client=CLIENT)
    ]
    held = {(document["slot"], document["sha256"]) for document in documents}
    for slot, digest in sealed_before(proposal).items():
        if (slot, digest) not in held:
            sys.exit(f"{slot} holds something else than was sealed here")
    text = publication(shown.call)
    if not shown.reference.startswith(f"{text['text']['code']}-"):
        sys.exit(f"{shown.reference} is no reference of the call {text['text']['code']}")
    said = {
        "call": shown.call,
        "call_text_sha256": text["text_sha256"],
        "proposal": proposal,
        "reference": shown.reference,
        "version": (shown.version or 0) + 1,
        "parties": sorted(shown.parties.additional_properties),
        "documents": sorted(documents, key=lambda document: (document["slot"], document.get("party", ""))),
    }
    return said, parties


def sign_manifest(proposal: str) -> None:
    """Signs for the own party. What another party has signed already has to be the very same."""
    said, parties = manifest(proposal)
    for version in pages(proposals_list_manifests, proposal, client=CLIENT):
        for text in version.signatures.additional_properties.values() if version.version == said["version"] else []:
            theirs, _ = TRUST.signed_by_one_of(parties, "manifest", text)
            if theirs != said:
                sys.exit("another party has signed something else")
    answered = change(
        proposals_sign_manifest, proposal, client=CLIENT, body=SignManifest(manifest=sign("manifest", said))
    )
    print(f"{answered.id} is {answered.status}")


def receipt(proposal: str, file: str) -> None:
    """Checks that what stands is what every party signed, and keeps the signatures, which prove it."""
    shown = answer(proposals_show.sync, proposal, client=CLIENT)
    parties = shown.parties.additional_properties
    standing = next(v for v in pages(proposals_list_manifests, proposal, client=CLIENT) if v.is_standing)
    for party, members in parties.items():
        _, raw = TRUST.signed_by_one_of(members, "manifest", standing.signatures.additional_properties[party])
        if sha256(raw) != shown.manifest_sha256:
            sys.exit(f"{party} has signed another version than the one that stands")
    Path(file).write_text(json.dumps(standing.to_dict(), indent=2), encoding="utf-8")
    print(f"{shown.id} is {shown.status}, version {shown.version}, manifest {shown.manifest_sha256}")


if __name__ == "__main__":
    commands = {"begin": begin, "join": join, "sign": sign_manifest, "receipt": receipt}
    commands[sys.argv[1]](*sys.argv[2:])
