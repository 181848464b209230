// Signs and verifies by @octokit/webhooks-methods. Standard input: a list of {secret, body, signature}; output: a list of
// {signature, isRight}: its own signature, and what it says of ours.
import { text } from "node:stream/consumers";
import { sign, verify } from "@octokit/webhooks-methods";

const answers = [];
for (const { secret, body, signature } of JSON.parse(await text(process.stdin))) {
  answers.push({
    signature: await sign(secret, body),
    isRight: await verify(secret, body, signature),
  });
}
console.log(JSON.stringify(answers));
