// Node 18, as in Debian 12, has the web's cryptography, though not as a global. Later versions have it as one.
import { webcrypto } from "node:crypto";

Object.defineProperty(globalThis, "crypto", { value: globalThis.crypto ?? webcrypto, configurable: true });
