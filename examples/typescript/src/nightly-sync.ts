/**
 * A nightly job: adds to a file what the members of one's own nation have done since the last run, one object a line.
 *
 *     node dist/nightly-sync.js changes.ndjson
 *
 * `changes.ndjson.bookmark` says how far the log was read. `EXCHANGE`, `EXCHANGE_CA`, `ME`, `CERT` and `KEY` are as in
 * `docs/api.md`; any member of the nation may run it, and reads what that member may read. If the exchange refuses the
 * bookmark (its log was restored, say), the log is read from the beginning, and lines come twice.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { answer, client, setting } from "./exchange.js";

interface Mark {
    cursor?: string;
    seq: number;
}

const file = process.argv[2] ?? "changes.ndjson";
const kept = `${file}.bookmark`;
const nation = setting("ME").split(":")[0] ?? "";
let mark: Mark = existsSync(kept) ? (JSON.parse(readFileSync(kept, "utf8")) as Mark) : { seq: 0 };
let found = 0;
for (let more = true; more;) {
    const query = { limit: 200, ...(mark.cursor === undefined ? {} : { cursor: mark.cursor }) };
    // The last page has a bookmark to go on from, in the place of `next`.
    const answered = await client.GET("/v1/entries", { params: { query } });
    if (mark.cursor !== undefined && answered.error?.type === "urn:entente:problem:bad-cursor") {
        console.error("the bookmark is refused: starting over");
        mark = { seq: 0 };
        continue;
    }
    const page: {
        items: { seq: number; actor?: string | null; payload: string }[];
        next?: string | null;
        bookmark?: string | null;
    } = await answer(Promise.resolve(answered));
    // Numbers only grow: an entry that an earlier run has written is passed over.
    const entries = page.items.filter((entry) => entry.seq > mark.seq);
    const own = entries.filter((entry) => entry.actor?.startsWith(`${nation}:`));
    appendFileSync(
        file,
        own.map((entry) => `${JSON.stringify({ ...entry, payload: JSON.parse(entry.payload) })}\n`).join(""),
    );
    // The bookmark is written after the entries: a run that breaks off writes some twice and loses none.
    const cursor = page.next ?? page.bookmark ?? mark.cursor;
    mark = { seq: Math.max(mark.seq, ...entries.map((entry) => entry.seq)), ...(cursor ? { cursor } : {}) };
    writeFileSync(kept, JSON.stringify(mark));
    found += own.length;
    more = Boolean(page.next);
}
console.log(`${found} new ${found === 1 ? "entry" : "entries"}`);
