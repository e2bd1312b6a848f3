/**
 * The connection to the exchange, and an answer or the refusal of each request.
 *
 * The types in `schema.ts` come from `docs/openapi.json` by a generator. This module adds mutual TLS, the
 * `Idempotency-Key` of each change, pages, and uploads by tus.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import { DefaultHttpStack, Upload } from "tus-js-client";
import { Agent, Request as UndiciRequest, fetch as undiciFetch } from "undici";
import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];

/** The value of an environment variable that has to be set. */
export function setting(name: string): string {
    const value = process.env[name];
    if (value === undefined) throw new Error(`set ${name}; see the README`);
    return value;
}

const tls = {
    ca: readFileSync(setting("EXCHANGE_CA")),
    cert: readFileSync(setting("CERT")),
    key: readFileSync(setting("KEY")),
    minVersion: "TLSv1.3",
} as const;

const dispatcher = new Agent({ connect: tls });

/** Requests with the member's certificate. */
export const client = createClient<paths>({
    baseUrl: setting("EXCHANGE"),
    // Node's own `fetch` has no place for a certificate; undici, which it is made of, has one.
    Request: UndiciRequest as unknown as typeof Request,
    fetch: (request) =>
        undiciFetch(request as unknown as UndiciRequest, { dispatcher }) as unknown as Promise<Response>,
});

/** A header of every change. To repeat a change whose answer was lost, send the same request with the same key. */
export function change(): { "Idempotency-Key": string } {
    return { "Idempotency-Key": randomBytes(16).toString("hex") };
}

/** Sends bytes by tus, going on at the byte reached when the line breaks: the address of the upload. */
export async function upload(to: string, bytes: Uint8Array, metadata: Record<string, string>): Promise<string> {
    return new Promise((resolve, reject) => {
        const sending = new Upload(Buffer.from(bytes), {
            endpoint: setting("EXCHANGE") + to,
            httpStack: new DefaultHttpStack(tls),
            // Sent with each request, and read by the one that begins the upload.
            headers: change(),
            metadata,
            retryDelays: [1000, 3000, 10_000],
            onSuccess: () => resolve(sending.url ?? ""),
            onError: reject,
        });
        sending.start();
    });
}

/** What a request was answered with. A refusal ends the program with its reason and remedy. */
export async function answer<T>(
    request: Promise<{ data?: T; error?: Schemas["Problem"]; response: Response }>,
): Promise<T> {
    const { data, error, response } = await request;
    if (error) throw new Error(`${error.title}: ${error.detail}\n${error.remedy}`);
    if (!response.ok) throw new Error(`the exchange answered ${response.status}`);
    return data as T;
}

/** The items of a list, page by page. A page can be empty and still have a `next`. */
export async function all<T>(
    page: (cursor: { cursor?: string }) => Promise<{ items: T[]; next?: string | null }>,
): Promise<T[]> {
    const items: T[] = [];
    for (let cursor: { cursor?: string } = {}; ;) {
        const { items: found, next } = await page(cursor);
        items.push(...found);
        if (!next) return items;
        cursor = { cursor: next };
    }
}
