// An OpenID provider at which everyone is signed in already, as the person that a test has sent last.
//
// Arguments: the port, and the address to which the key service's users return. The module's folder is in OPENID_NODE_MODULES.

import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [port, redirectUri] = process.argv.slice(2);
const modules = pathToFileURL(`${process.env.OPENID_NODE_MODULES}/`);
const { default: Provider } = await import(new URL("oidc-provider/lib/index.js", modules));

const issuer = `http://127.0.0.1:${port}`;

/** The claims of each person, by subject. */
const people = new Map();

/** The person who is signed in. */
let subject;

const provider = new Provider(issuer, {
  claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
  clients: [{ client_id: "key-service", client_secret: process.env.CLIENT_SECRET, redirect_uris: [redirectUri] }],
  conformIdTokenClaims: false,
  cookies: { keys: ["a key of tests"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people.get(id) }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  loadExistingGrant: async (context) => {
    const { client, session } = context.oidc;
    const grant = new context.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email groups");
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  scopes: ["openid", "email", "groups"],
});
const answer = provider.callback();

createServer(async (request, response) => {
  if (request.method === "PUT" && request.url === "/person") {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { sub, ...claims } = JSON.parse(body);
    subject = sub;
    people.set(sub, claims);
    response.writeHead(204).end();
  } else if (request.url.startsWith("/interaction/")) {
    await provider.interactionFinished(request, response, { login: { accountId: subject, remember: false } });
  } else {
    await answer(request, response);
  }
}).listen(Number(port), "127.0.0.1");
