// Judges requests to a forge, and its answers, by the forge's own description.
//
//   node judge.mjs trim FROM TO            a description of the paths that are used, which loads ten times as fast
//   node judge.mjs serve KIND FILE URL     prism before URL; prints its own address; ends with its standard input
//   node judge.mjs verify SECRET SIGN BODY whether GitHub's own library takes a webhook's signature

import fs from 'node:fs';
import { createRequire } from 'node:module';

const USED = [
  '/app/installations/{installation_id}/access_tokens',
  '/rate_limit',
  '/repos/{owner}/{repo}',
  '/repos/{owner}/{repo}/check-runs',
  '/repos/{owner}/{repo}/check-runs/{check_run_id}',
  '/repos/{owner}/{repo}/check-runs/{check_run_id}/annotations',
  '/repos/{owner}/{repo}/collaborators/{collaborator}/permission',
  '/repos/{owner}/{repo}/collaborators/{username}/permission',
  '/repos/{owner}/{repo}/commits/{commit_sha}/pulls',
  '/repos/{owner}/{repo}/commits/{ref}/check-runs',
  '/repos/{owner}/{repo}/commits/{ref}/statuses',
  '/repos/{owner}/{repo}/commits/{sha}/pull',
  '/repos/{owner}/{repo}/installation',
  '/repos/{owner}/{repo}/issues/comments/{id}',
  '/repos/{owner}/{repo}/issues/{index}/comments',
  '/repos/{owner}/{repo}/issues/{issue_number}/comments',
  '/repos/{owner}/{repo}/pulls',
  '/repos/{owner}/{repo}/pulls/{index}',
  '/repos/{owner}/{repo}/pulls/{pull_number}',
  '/repos/{owner}/{repo}/statuses/{sha}',
  '/user',
  '/version',
];
// Of GitHub's own paths, no more than an App needs.
const NOT_USED = new Set(['/user', '/repos/{owner}/{repo}/statuses/{sha}']);

/// The paths that are used, and what they refer to.
function trim(whole) {
  const isGitea = whole.info.title.includes('Gitea');
  const paths = {};
  for (const path of USED) {
    if (whole.paths[path] && (isGitea || !NOT_USED.has(path))) paths[path] = whole.paths[path];
  }
  const components = { securitySchemes: whole.components.securitySchemes };
  const follow = (value) => {
    if (Array.isArray(value)) return value.forEach(follow);
    if (value === null || typeof value !== 'object') return;
    const [, section, name] = /^#\/components\/(\w+)\/([^/]+)$/.exec(value.$ref ?? '') ?? [];
    if (name && components[section]?.[name] === undefined) {
      components[section] ??= {};
      components[section][name] = whole.components[section][name];
      follow(components[section][name]);
    }
    Object.values(value).forEach(follow);
  };
  follow(paths);
  const { openapi, info, security } = whole;
  return { openapi, info, security, servers: [{ url: '/' }], paths, components };
}

const text = { type: 'object', required: ['message'], properties: { message: { type: 'string' } } };

/// Every forge refuses, which both descriptions tell of some operations alone.
function refusals(description) {
  const refusal = { description: 'a refusal', content: { 'application/json': { schema: text } } };
  for (const operations of Object.values(description.paths)) {
    for (const operation of Object.values(operations)) {
      if (!operation.responses) continue;
      for (const code of ['401', '403', '404', '422']) operation.responses[code] ??= refusal;
    }
  }
}

// What Gitea's description does not say and its recorded payloads show.
const GITEA = {
  // Go writes its empty pointers as null.
  nullable: ['assignee', 'assignees', 'closed_at', 'due_date', 'labels', 'merge_commit_sha', 'merged_at', 'merged_by', 'milestone'],
  // Go writes these as empty text.
  empty: ['avatar_url', 'issue_url', 'link', 'original_url', 'target_url', 'url', 'website'],
  // It requires nothing: an answer without these is none.
  required: {
    Comment: ['id', 'user', 'body', 'html_url', 'created_at', 'updated_at'],
    CommitStatus: ['id', 'status', 'context', 'description', 'target_url', 'creator', 'created_at'],
    PRBranchInfo: ['label', 'ref', 'sha', 'repo_id', 'repo'],
    PullRequest: ['id', 'number', 'user', 'title', 'state', 'merged', 'base', 'head', 'html_url', 'created_at'],
    RepoCollaboratorPermission: ['permission', 'role_name', 'user'],
    Repository: ['id', 'owner', 'name', 'full_name', 'clone_url', 'default_branch', 'private', 'fork'],
    User: ['id', 'login'],
    CreateStatusOption: ['state'],
  },
};

/// Its schemas say what fields there may be; here they are all there may be.
function gitea(description) {
  for (const [name, schema] of Object.entries(description.components.schemas)) {
    if (!schema.properties) continue;
    for (const field of GITEA.nullable) {
      const given = schema.properties[field];
      if (!given) continue;
      schema.properties[field] = given.$ref ? { nullable: true, allOf: [given] } : { ...given, nullable: true };
    }
    for (const field of GITEA.empty) delete schema.properties[field]?.format;
    schema.required = GITEA.required[name] ?? schema.required;
    schema.additionalProperties = false;
  }
  // An old name of the same.
  description.components.schemas.User.properties.username = { type: 'string' };
  for (const name of ['error', 'notFound', 'forbidden', 'validationError']) {
    if (description.components.responses?.[name]) {
      description.components.responses[name] = { description: name, content: { 'application/json': { schema: text } } };
    }
  }
}

async function serve(kind, file, upstream) {
  const description = trim(JSON.parse(fs.readFileSync(file)));
  refusals(description);
  if (kind === 'gitea') gitea(description);
  const require = createRequire(import.meta.url);
  const near = createRequire(require.resolve('@stoplight/prism-cli/package.json'));
  const { createServer } = near('@stoplight/prism-http-server');
  const { getHttpOperationsFromSpec } = near('@stoplight/prism-http');
  const { createLogger } = near('@stoplight/prism-core');
  const logger = createLogger('judge', { level: 'silent' });
  const server = createServer(await getHttpOperationsFromSpec(description), {
    cors: false,
    components: { logger },
    config: {
      isProxy: true, upstream: new URL(upstream), errors: true, checkSecurity: true,
      validateRequest: true, validateResponse: true, mock: false,
    },
  });
  console.log(await server.listen(0, '127.0.0.1'));
  process.stdin.on('end', () => process.exit(0)).resume();
}

const [command, ...rest] = process.argv.slice(2);
if (command === 'trim') {
  const [from, to] = rest;
  fs.writeFileSync(to, JSON.stringify(trim(JSON.parse(fs.readFileSync(from)))));
} else if (command === 'verify') {
  const { verify } = await import('@octokit/webhooks-methods');
  const [secret, signature, body] = rest;
  console.log(await verify(secret, body, signature));
} else {
  await serve(...rest);
}
