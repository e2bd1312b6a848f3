/**
 * The connection to the exchange, and an answer or the refusal of each request.
 *
 * The types in `schema.ts` come from `docs/openapi.json` by a generator. This module adds mutual TLS, the
 * `Idempotency-Key` of each change, and pages.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import { Agent, Request as UndiciRequest, fetch as undiciFetch } from "undici";
import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];

/** The value of an environment variable that has to be set. */
export function setting(name: string): string {
    const value = process.env[name];
    if (value === undefined) throw new Error(`set ${name}; see the README`);
    return value;
}

const dispatcher = new Agent({
    connect: {
        ca: readFileSync(setting("EXCHANGE_CA")),
        cert: readFileSync(setting("CERT")),
        key: readFileSync(setting("KEY")),
        minVersion: "TLSv1.3",
    },
});

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
