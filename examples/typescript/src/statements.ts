/**
 * What members sign, and whose keys count.
 *
 * A statement is a compact JWS over canonical JSON (RFC 8785); `docs/statements.md` has the payload of each type. The
 * exchange's word about a key counts for nothing: a fingerprint that officials confirmed leads to the partner card, the
 * card to the registrars, and a registrar's signature to the key card of a member.
 */
import { X509Certificate, createHash, createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import canonicalizeModule from "canonicalize";
import { CompactSign, compactVerify } from "jose";
import { answer, client, setting } from "./exchange.js";

// The module is the function itself, and its types say that the function is a member of it.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string | undefined;
const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

export interface KeyCard {
    member: string;
    status: string;
    roles: string[];
    recipients: string[];
    certificates: string[];
    valid_from: string;
    valid_until: string;
}

export interface Verified {
    /** What was signed. */
    payload: unknown;
    /** Its bytes. */
    bytes: Uint8Array;
    /** The certificate that came with it, a hint at who signed. */
    certificate: X509Certificate;
    /** The digest of the key that signed. */
    signer: string;
}

export function sha256(data: Uint8Array | string): string {
    return createHash("sha256").update(data).digest("hex");
}

/** The RFC 8785 form of a value. */
export function canonical(value: unknown): string {
    const text = canonicalize(value);
    if (text === undefined) throw new Error("this is no JSON");
    return text;
}

/** This second in UTC, as statements write it: without the `.000` of `toISOString`. */
export function now(): string {
    return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}

/** A new identifier: a time and random bits, and 40 bits that check them and the member who made it. */
export function ownId(prefix: string, maker: string): string {
    const base32 = (number: bigint, letters: number): string =>
        Array.from(
            { length: letters },
            (_, at) => CROCKFORD[Number((number >> BigInt(5 * (letters - 1 - at))) & 31n)],
        ).join("");
    const bits = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
    const begun = `${prefix}_${base32(BigInt(Date.now()), 10)}${base32(bits(randomBytes(5)), 8)}`;
    const check = createHash("sha256").update(`${begun} ${maker}`).digest().subarray(0, 5);
    return begun + base32(bits(check), 8);
}

/** A statement by the member's key, with the member's certificate in it. The key is a P-256 key here. */
export async function sign(kind: string, payload: object): Promise<string> {
    const certificate = new X509Certificate(readFileSync(setting("CERT")));
    const header = { alg: "ES256", typ: `entente-${kind}+jws`, x5c: [certificate.raw.toString("base64")] };
    const message = new TextEncoder().encode(canonical(payload));
    return await new CompactSign(message)
        .setProtectedHeader(header)
        .sign(createPrivateKey(readFileSync(setting("KEY"))));
}

export async function verify(kind: string, text: string): Promise<Verified> {
    const header = JSON.parse(Buffer.from(text.split(".")[0] ?? "", "base64url").toString()) as Record<
        string,
        unknown
    >;
    const [leaf, ...more] = header["x5c"] as string[];
    const members = Object.keys(header).sort().join();
    if (
        members !== "alg,typ,x5c" ||
        header["typ"] !== `entente-${kind}+jws` ||
        leaf === undefined ||
        more.length > 0
    ) {
        throw new Error(`this is no statement of type entente-${kind}+jws`);
    }
    const certificate = new X509Certificate(Buffer.from(leaf, "base64"));
    const signed = await compactVerify(text, certificate.publicKey, { algorithms: ["ES256", "ES384", "EdDSA"] });
    const said = new TextDecoder().decode(signed.payload);
    const payload: unknown = JSON.parse(said);
    if (canonical(payload) !== said) throw new Error("the statement is not in canonical form");
    const signer = sha256(certificate.publicKey.export({ type: "spki", format: "der" }));
    return { payload, bytes: signed.payload, certificate, signer };
}

const pins = new Map(
    readFileSync(setting("PINS"), "utf8")
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/) as [string, string]),
);
const cards = new Map<string, KeyCard>();

/** The key card of a member. Keep the highest serial that you have seen, and refuse a lower one. */
export async function keyCard(member: string): Promise<KeyCard> {
    const known = cards.get(member);
    if (known) return known;
    const code = member.split(":")[0] ?? "";
    const partner = await answer(client.GET("/v1/partners/{partner}", { params: { path: { partner: code } } }));
    if (sha256(partner.card) !== pins.get(code)) throw new Error(`the card of ${code} is not the one you pinned`);
    const shown = await answer(client.GET("/v1/members/{member}", { params: { path: { member } } }));
    const { payload, signer } = await verify("key-card", shown.key_card);
    const registrars = (JSON.parse(partner.card) as { registrars: string[] }).registrars;
    if (!registrars.includes(signer)) throw new Error(`no registrar of ${code} signed the key card of ${member}`);
    const card = payload as KeyCard;
    if (card.member !== member || card.status !== "active" || card.valid_from > now() || now() >= card.valid_until) {
        throw new Error(`the key card of ${member} is not in force`);
    }
    cards.set(member, card);
    return card;
}

/** What one of several members signed. */
export async function signedByOneOf(members: string[], kind: string, text: string): Promise<Verified> {
    const verified = await verify(kind, text);
    for (const member of members) {
        if ((await keyCard(member)).certificates.includes(verified.signer)) return verified;
    }
    throw new Error(`none of ${members.join(", ")} signed this statement of type entente-${kind}+jws`);
}
