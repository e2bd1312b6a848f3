/**
 * Hands in a joint proposal of two parties, each on its own machine.
 *
 *     node dist/hand-in.js begin CALL USA:carol      as ISR:avi; prints the proposal
 *     node dist/hand-in.js join PROPOSAL             as USA:carol, who is a party from then on
 *     node dist/hand-in.js sign PROPOSAL             as each of them, in any order
 *     node dist/hand-in.js receipt PROPOSAL FILE     as each of them: checks what stands, and keeps the signatures
 *
 * `EXCHANGE`, `EXCHANGE_CA`, `PINS`, `ME`, `CERT`, `KEY`, `AGE_KEY` and `DOCUMENTS` are as in `docs/api.md`.
 */
import "./webcrypto.js";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { extname, join as path } from "node:path";
import { Decrypter, Encrypter, generateIdentity, identityToRecipient } from "age-encryption";
import { type Schemas, all, answer, change, client, setting, upload } from "./exchange.js";
import { canonical, keyCard, now, ownId, sha256, sign, signedByOneOf, verify } from "./statements.js";

interface Publication {
    call: string;
    text: Schemas["CallText"];
    text_sha256: string;
    vault: string;
    recipient: string;
}

interface Manifest {
    call: string;
    call_text_sha256: string;
    proposal: string;
    reference: string;
    version: number;
    parties: string[];
    documents: {
        slot: string;
        party?: string;
        vault: string;
        recipient: string;
        sha256: string;
        size: number;
        media_type: string;
    }[];
}

const ME = setting("ME");
const MY_PARTY = partyOf(ME);
const MEDIA_TYPES: Record<string, string> = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".json": "application/vnd.entente.summary+json",
    ".pdf": "application/pdf",
};

function partyOf(member: string): string {
    return member.split(":")[0] ?? "";
}

/** The call's text and its vault as an officer signed them, not as the exchange shows them. */
async function publication(call: string): Promise<Publication> {
    const shown = await answer(client.GET("/v1/calls/{call}", { params: { path: { call } } }));
    const { certificate, payload, signer } = await verify("call", shown.publication ?? "");
    const officer = /URI:urn:entente:member:([A-Z0-9]+:[a-z0-9._-]+)/.exec(certificate.subjectAltName ?? "")?.[1];
    if (officer === undefined) throw new Error("the publication does not hint at who signed it");
    const card = await keyCard(officer);
    const said = payload as Publication;
    if (!card.certificates.includes(signer) || !card.roles.includes("program_officer") || said.call !== call) {
        throw new Error("the publication is not about this call, or not by a program officer");
    }
    return said;
}

async function sealed(plain: Uint8Array | string, recipient: string): Promise<Uint8Array> {
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    return await encrypter.encrypt(plain);
}

/** A vault is an age key pair whose identity travels wrapped, one small age file for each reader. */
async function newVault(kind: string, text: Publication, proposal: string, readers: string[], party?: string) {
    const identity = await generateIdentity();
    const recipient = await identityToRecipient(identity);
    const vault = ownId("vault", ME);
    const said = { vault, kind, call: text.call, proposal, recipient, ...(party === undefined ? {} : { party }) };
    const targets: [string, string][] = [[text.vault, text.recipient]];
    for (const member of readers) {
        for (const recipient of (await keyCard(member)).recipients) targets.push([member, recipient]);
    }
    const keys: Schemas["WrappedKeyIn"][] = [];
    for (const [to, recipient] of targets) {
        const wrapped = await sealed(`${identity}\n`, recipient);
        const statement = await sign("wrap", { vault, to, recipient, sha256: sha256(wrapped) });
        keys.push({ statement, ciphertext: Buffer.from(wrapped).toString("base64") });
    }
    return { recipient, body: { statement: await sign("vault", said), keys } };
}

/**
 * Seals the documents that are named after slots, and uploads them: to each audience by its vault's recipient. Every
 * call has a slot `summary` beside those of its text.
 */
async function put(proposal: string, text: Schemas["CallText"], recipients: Record<string, string>): Promise<void> {
    const files = readdirSync(setting("DOCUMENTS")).sort();
    for (const { name, audience } of [{ name: "summary", audience: "panel" }, ...text.slots]) {
        const file = files.find((file) => file.startsWith(name));
        const recipient = recipients[audience];
        if (file === undefined || recipient === undefined) continue;
        const bytes = await sealed(readFileSync(path(setting("DOCUMENTS"), file)), recipient);
        const media_type = MEDIA_TYPES[extname(file)] ?? "application/octet-stream";
        const to = `/v1/proposals/${proposal}/documents/${name}/uploads`;
        const address = await upload(to, bytes, { media_type, sha256: sha256(bytes) });
        const { document: stored } = await answer(
            client.GET("/v1/proposals/{proposal}/uploads/{upload}", {
                params: { path: { proposal, upload: address.split("/").pop() ?? "" } },
            }),
        );
        if (stored?.sha256 !== sha256(bytes)) throw new Error(`the exchange has stored other bytes in ${name}`);
        const sealedHere = { ...sealedBefore(proposal), [name]: stored.sha256 };
        writeFileSync(sealedFile(proposal), JSON.stringify(sealedHere));
    }
}

function sealedFile(proposal: string): string {
    return `sealed-${proposal}-${ME.replace(":", ".")}.json`;
}

/** What was sealed here, by slot. Anybody can seal to a vault, so the exchange's word is not enough to sign. */
function sealedBefore(proposal: string): Record<string, string> {
    const file = sealedFile(proposal);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, string>) : {};
}

/** The vaults. A member of the parties has to have signed for each of them. */
async function vaults(proposal: string, parties: string[]): Promise<Schemas["Vault"][]> {
    const shown = await answer(client.GET("/v1/proposals/{proposal}/vaults", { params: { path: { proposal } } }));
    for (const vault of shown.items) {
        const { payload } = await signedByOneOf(parties, "vault", vault.statement);
        const said = payload as { vault: string; kind: string; proposal: string; party?: string; recipient: string };
        const same = said.vault === vault.id && said.kind === vault.kind && said.party === (vault.party ?? undefined);
        if (!same || said.proposal !== proposal || said.recipient !== vault.recipient) {
            throw new Error(`the exchange says something else of ${vault.id} than its maker`);
        }
    }
    return shown.items;
}

/** The identity of a vault, from the first wrapped key that opens. */
async function unwrap(vault: Schemas["Vault"]): Promise<string> {
    const identities = readFileSync(setting("AGE_KEY"), "utf8")
        .split("\n")
        .filter((line) => line.startsWith("AGE-SECRET-KEY-"));
    const decrypter = new Decrypter();
    identities.forEach((identity) => decrypter.addIdentity(identity));
    for (const key of vault.keys) {
        const opened = await decrypter.decrypt(Buffer.from(key.ciphertext, "base64"), "text").catch(() => "");
        const identity = opened.trim();
        if (identity !== "" && (await identityToRecipient(identity)) === vault.recipient) return identity;
    }
    throw new Error(`no wrapped key opens ${vault.id}`);
}

async function documents(proposal: string): Promise<Schemas["Document"][]> {
    return (await answer(client.GET("/v1/proposals/{proposal}/documents", { params: { path: { proposal } } }))).items;
}

/** A document, opened. */
async function read(proposal: string, slot: string, vault: Schemas["Vault"]): Promise<Uint8Array> {
    const held = (await documents(proposal)).find((held) => held.slot === slot && held.vault === vault.id);
    if (!held) throw new Error(`nothing is in ${slot}`);
    const fetched = await answer(
        client.GET("/v1/proposals/{proposal}/ciphertexts/{document}", {
            params: { path: { proposal, document: held.id } },
            parseAs: "arrayBuffer",
        }),
    );
    const bytes = new Uint8Array(fetched as unknown as ArrayBuffer);
    if (sha256(bytes) !== held.sha256) throw new Error(`${held.id} has other bytes than it should`);
    const decrypter = new Decrypter();
    decrypter.addIdentity(await unwrap(vault));
    return await decrypter.decrypt(bytes);
}

async function shown(proposal: string): Promise<{ about: Schemas["Proposal"]; parties: string[] }> {
    const about = await answer(client.GET("/v1/proposals/{proposal}", { params: { path: { proposal } } }));
    return { about, parties: Object.values(about.parties).flat() };
}

/** Makes the vaults, invites the counterpart and uploads the documents. */
async function begin(call: string, counterpart: string): Promise<void> {
    const text = await publication(call);
    const proposal = ownId("prop", ME);
    const panel = await newVault("panel", text, proposal, [ME, counterpart]);
    const parties = await newVault("parties", text, proposal, [ME, counterpart]);
    const staff = await newVault("staff", text, proposal, [ME], MY_PARTY);
    const topic = text.text.topics?.[0];
    const body = {
        id: proposal,
        call,
        ...(topic === undefined ? {} : { topic }),
        parties: { [MY_PARTY]: [ME], [partyOf(counterpart)]: [counterpart] },
        invitations: { [counterpart]: await sign("invitation", { proposal, member: counterpart, stated_at: now() }) },
        vaults: [panel.body, parties.body, staff.body],
    };
    await answer(client.POST("/v1/proposals", { params: { query: { call }, header: change() }, body }));
    await put(proposal, text.text, { panel: panel.recipient, staff: staff.recipient });
    console.log(proposal);
}

/** Reads what is there, accepts the invitation, and adds the own restricted documents. */
async function join(proposal: string): Promise<void> {
    const { about, parties } = await shown(proposal);
    const joined = await all((cursor) =>
        answer(client.GET("/v1/proposals/{proposal}/joined", { params: { path: { proposal }, query: cursor } })),
    );
    const asked = joined.find((joined) => joined.member === ME);
    if (!asked) throw new Error(`nobody has invited ${ME}`);
    const { payload, bytes } = await signedByOneOf(parties, "invitation", asked.invitation);
    const invitation = payload as { proposal: string; member: string };
    if (invitation.proposal !== proposal || invitation.member !== ME)
        throw new Error("the invitation is about something else");
    const panel = (await vaults(proposal, parties)).find((vault) => vault.kind === "panel");
    if (panel) await read(proposal, "work-plan", panel);
    const said = { proposal, member: ME, invitation_sha256: sha256(bytes), stated_at: now() };
    const params = { path: { proposal }, header: change() };
    const statement = await sign("acceptance", said);
    await answer(client.POST("/v1/proposals/{proposal}/acceptance", { params, body: { statement } }));
    const text = await publication(about.call);
    const staff = await newVault("staff", text, proposal, [ME], MY_PARTY);
    const own = { path: { proposal }, header: change() };
    await answer(client.POST("/v1/proposals/{proposal}/vaults/staff", { params: own, body: staff.body }));
    await put(proposal, text.text, { staff: staff.recipient });
}

/** What is handed in: every document, sorted by slot and party, under the text of the call that was read. */
async function manifest(proposal: string): Promise<Manifest> {
    const { about, parties } = await shown(proposal);
    const recipients = new Map((await vaults(proposal, parties)).map((vault) => [vault.id, vault.recipient]));
    const place = (held: { slot: string; party?: string }): string => `${held.slot} ${held.party ?? ""}`;
    const held = (await documents(proposal)).map(({ slot, party, vault, sha256, size, media_type }) => {
        const recipient = recipients.get(vault);
        if (recipient === undefined) throw new Error(`nobody has signed for ${vault}`);
        return { slot, vault, recipient, sha256, size, media_type, ...(party ? { party } : {}) };
    });
    for (const [slot, digest] of Object.entries(sealedBefore(proposal))) {
        const same = held.some((document) => document.slot === slot && document.sha256 === digest);
        if (!same) throw new Error(`${slot} holds something else than was sealed here`);
    }
    const text = await publication(about.call);
    if (!about.reference.startsWith(`${text.text.code}-`))
        throw new Error(`${about.reference} is no reference of the call ${text.text.code}`);
    return {
        call: about.call,
        call_text_sha256: text.text_sha256,
        proposal,
        reference: about.reference,
        version: (about.version ?? 0) + 1,
        parties: Object.keys(about.parties).sort(),
        documents: held.sort((a, b) => (place(a) < place(b) ? -1 : 1)),
    };
}

async function manifests(proposal: string): Promise<Schemas["SignedManifest"][]> {
    return await all((cursor) =>
        answer(client.GET("/v1/proposals/{proposal}/manifests", { params: { path: { proposal }, query: cursor } })),
    );
}

/** Signs for the own party. What another party has signed already has to be the very same. */
async function signManifest(proposal: string): Promise<void> {
    const said = await manifest(proposal);
    const { parties } = await shown(proposal);
    const same = (await manifests(proposal)).filter((version) => version.version === said.version);
    for (const text of same.flatMap((version) => Object.values(version.signatures))) {
        const { payload } = await signedByOneOf(parties, "manifest", text);
        if (canonical(payload) !== canonical(said)) throw new Error("another party has signed something else");
    }
    const params = { path: { proposal }, header: change() };
    const body = { manifest: await sign("manifest", said) };
    const signed = await answer(client.POST("/v1/proposals/{proposal}/manifests", { params, body }));
    console.log(`${signed.id} is ${signed.status}`);
}

/** Checks that what stands is what every party signed, and keeps the signatures, which prove it. */
async function receipt(proposal: string, file: string): Promise<void> {
    const { about } = await shown(proposal);
    const standing = (await manifests(proposal)).find((version) => version.is_standing);
    for (const [party, members] of Object.entries(about.parties)) {
        const { bytes } = await signedByOneOf(members, "manifest", standing?.signatures[party] ?? "");
        if (sha256(bytes) !== about.manifest_sha256)
            throw new Error(`${party} has signed another version than the one that stands`);
    }
    writeFileSync(file, JSON.stringify(standing, null, 2));
    console.log(`${about.id} is ${about.status}, version ${about.version}, manifest ${about.manifest_sha256}`);
}

const [command = "", first = "", second = ""] = process.argv.slice(2);
const commands: Record<string, () => Promise<void>> = {
    begin: () => begin(first, second),
    join: () => join(first),
    sign: () => signManifest(first),
    receipt: () => receipt(first, second),
};
const run = commands[command];
if (!run) throw new Error(`say one of ${Object.keys(commands).join(", ")}`);
await run().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
});
