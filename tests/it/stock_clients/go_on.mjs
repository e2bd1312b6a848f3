// Takes one upload back, begins another, stops after a thousand bytes, and goes on: what it was told of the offset.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { DefaultHttpStack, Upload } from "tus-js-client";

const { EXCHANGE, EXCHANGE_CA, CERT, KEY } = process.env;
const [path, file] = process.argv.slice(2);
const bytes = readFileSync(file);
const tls = { ca: readFileSync(EXCHANGE_CA), cert: readFileSync(CERT), key: readFileSync(KEY) };
const options = {
    endpoint: EXCHANGE + path,
    httpStack: new DefaultHttpStack(tls),
    metadata: { media_type: "application/octet-stream" },
    // Taking an upload back is a change like any other, so it has a key of its own.
    onBeforeRequest: (request) => request.setHeader("Idempotency-Key", randomBytes(16).toString("hex")),
    retryDelays: [],
};

/** Sends a thousand bytes: the upload, which is to be gone on with. */
function begun() {
    return new Promise((resolve, reject) => {
        const upload = new Upload(bytes, {
            ...options,
            chunkSize: 1000,
            onChunkComplete: () => upload.abort().then(() => resolve(upload), reject),
            onError: reject,
        });
        upload.start();
    });
}

await (await begun()).abort(true);
const { url } = await begun();
let told;
await new Promise((resolve, reject) => {
    const upload = new Upload(bytes, {
        ...options,
        uploadUrl: url,
        onAfterResponse: (request, response) => {
            told ??= response.getHeader("Upload-Offset");
        },
        onSuccess: resolve,
        onError: reject,
    });
    upload.start();
});
console.log(told, bytes.length);
