// Asks a simulator of IAM every question of iam.json about the policies that were applied.
//
// Usage: node judge.mjs POLICIES QUESTIONS. Status 1: an answer is not the expected one, or something is granted that
// no question is about.

import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const [policiesFile, questionsFile] = process.argv.slice(2)
const policies = JSON.parse(readFileSync(policiesFile, 'utf8'))
const questions = JSON.parse(readFileSync(questionsFile, 'utf8'))

const ACCOUNT = questions.account
const REGION = questions.region
const PREFIX = questions.prefix

// {bucket}/x, {queue:advance-normal}, {parameter:/a}, {function:sweep}, {role:runner}, {log:plan}, {table}, {stream}, {key}
function arn(text) {
  return text.replace(/\{([a-z]+)(?::([^}]*))?\}/g, (_, kind, name) => {
    switch (kind) {
      case 'queue': return `arn:aws:sqs:${REGION}:${ACCOUNT}:${PREFIX}-${name}`
      case 'parameter': return `arn:aws:ssm:${REGION}:${ACCOUNT}:parameter${name}`
      case 'role': return `arn:aws:iam::${ACCOUNT}:role/${PREFIX}-${name}`
      case 'log': return `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:/aws/lambda/${PREFIX}-${name}:log-stream:s`
      case 'group': return `arn:aws:autoscaling:${REGION}:${ACCOUNT}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/${PREFIX}-${name}`
      default:
        if (!policies.names[kind]) throw new Error(`{${kind}} was not applied`)
        return policies.names[kind]
    }
  })
}

function role(who) {
  const found = policies.roles[`${PREFIX}-${who}`]
  if (!found?.policy) throw new Error(`no policy of ${PREFIX}-${who} was applied`)
  return found
}

async function ask(who, action, resource, context) {
  const { arn: principal, policy } = role(who)
  const answer = await runSimulation({
    request: {
      // A session of the role, as AWS names it.
      principal: principal.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/') + '/session',
      action,
      resource: { resource, accountId: ACCOUNT },
      contextVariables: { 'aws:SecureTransport': 'true', 'aws:PrincipalArn': principal, ...context }
    },
    identityPolicies: [{ name: who, policy }],
    serviceControlPolicies: [{ orgIdentifier: 'root', policies: [{ name: 'all', policy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] } }] }],
    resourceControlPolicies: [],
    resourcePolicy: policies.resources[resource]
  }, {})
  if (answer.resultType === 'error') throw new Error(`${who} ${action} ${resource}: ${JSON.stringify(answer.errors)}`)
  return answer.overallResult === 'Allowed' ? 'allow' : 'deny'
}

const list = (value) => (Array.isArray(value) ? value : [value])
const pattern = (text) => new RegExp('^' + text.replace(/\$\{[^}]*\}/g, '*').split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*') + '$')

const asked = new Map()
let count = { allow: 0, deny: 0 }
const wrong = []
for (const group of questions.questions) {
  for (const expected of ['allow', 'deny']) {
    for (const [action, resource, context] of group[expected] ?? []) {
      for (const who of list(group.who)) {
        const target = arn(resource)
        const got = await ask(who, action, target, { ...group.context, ...context })
        count[expected] += 1
        if (got !== expected) wrong.push(`${who}: ${action} on ${target} is ${got}, and should be ${expected}`)
        if (expected === 'allow') asked.set(who, [...(asked.get(who) ?? []), [action, target]])
      }
    }
  }
}

// Whatever is granted and not asked for is a grant that nobody needs, or a question that is missing.
const unused = []
for (const [name, { policy }] of Object.entries(policies.roles)) {
  const who = name.slice(PREFIX.length + 1)
  for (const statement of list(policy?.Statement ?? []).filter((s) => s.Effect === 'Allow')) {
    for (const action of list(statement.Action)) {
      const needed = (asked.get(who) ?? []).some(([used, target]) =>
        used.toLowerCase() === action.toLowerCase() && list(statement.Resource).some((resource) => pattern(resource).test(target)))
      if (!needed) unused.push(`${who}: ${action} (${statement.Sid}) is granted, and nothing asks for it`)
      if (action.includes('*')) wrong.push(`${who}: ${action} is a wildcard`)
    }
  }
}

for (const line of [...wrong, ...unused]) console.error(line)
console.log(`${count.allow} allowed, ${count.deny} denied, ${wrong.length} wrong, ${unused.length} granted and not asked for`)
process.exit(wrong.length + unused.length === 0 ? 0 : 1)
