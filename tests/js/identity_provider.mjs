// An identity provider on a loopback port, for the tests that call a host with its tokens: its
// issuer goes to standard output, then it does what standard input says, a line for each:
//
//   token CLIENT RESOURCE SCOPE   prints a token from its own endpoint; the resource names the algorithm
//   rotate                        it has new keys from now on, and the old ones no more
//   down, up                      while it is down, every connection is closed at once
//
// NODE_MODULES says where oidc-provider is.

import { generateKeyPairSync, webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// What the provider needs and the Node.js of Debian 12 does not have by itself.
globalThis.crypto ??= webcrypto;
URL.parse ??= (...url) => (URL.canParse(...url) ? new URL(...url) : null);

const { default: Provider } = await import(pathToFileURL(`${process.env.NODE_MODULES}/oidc-provider/lib/index.js`));

const KINDS = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }] };
const TOKEN_SECONDS = 600;
// Standard output is for answers.
console.info = console.error;
let generation = 0;

function keys() {
  generation += 1;
  return Object.entries(KINDS).map(([alg, [type, options]]) => {
    const { privateKey } = generateKeyPairSync(type, options);
    return { ...privateKey.export({ format: "jwk" }), kid: `${alg}-${generation}`, alg, use: "sig" };
  });
}

function client(id) {
  const grants = { grant_types: ["client_credentials"], redirect_uris: [], response_types: [] };
  return { client_id: id, client_secret: `secret of ${id}`, ...grants };
}

function provider(issuer) {
  const resource = (_, audience) => ({
    scope: "invoke read", audience, accessTokenFormat: "jwt", jwt: { sign: { alg: audience.split(":").pop() } },
  });
  return new Provider(issuer, {
    jwks: { keys: keys() },
    clients: [client("web"), client("batch")],
    scopes: ["invoke", "read"],
    ttl: { ClientCredentials: TOKEN_SECONDS },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resource },
    },
  }).callback();
}

async function token(id, resource, scope) {
  const body = new URLSearchParams({ grant_type: "client_credentials", resource, scope });
  const credentials = [id, `secret of ${id}`].map(encodeURIComponent).join(":");
  const authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
  const answer = await fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body });
  return (await answer.json()).access_token;
}

let [answering, down] = [undefined, false];
const server = createServer((request, response) => (down ? request.socket.destroy() : answering(request, response)));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
answering = provider(issuer);
console.log(issuer);

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  if (command === "token") {
    console.log(await token(...words));
    continue;
  }
  if (command === "rotate") answering = provider(issuer);
  down = command === "down";
  console.log("done");
}
process.exit();
