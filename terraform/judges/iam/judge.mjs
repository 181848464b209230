// Asks a simulator of IAM about the policies that were applied: whether what components were seen to do is allowed, and
// what nobody may do is denied. Then whether every right is used, or has a reason to be there.
//
// Usage: node judge.mjs POLICIES FOLDER RECORD... FOLDER has denied.json, rare.json and unused.json. Status 1: an answer is not the expected one, a right has
// neither use nor reason, or a reason is for a right that is used or not granted.

import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const read = (file) => JSON.parse(readFileSync(file, 'utf8'))
const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value])
const [policiesFile, folder, ...recordFiles] = process.argv.slice(2)
const unusedFile = `${folder}/unused.json`
const policies = read(policiesFile)
const { prefix: PREFIX, sessions, denied } = read(`${folder}/denied.json`)
const [, , , REGION, ACCOUNT] = policies.names.table.split(':')
const PARTITIONS = 'dynamodb:LeadingKeys'
const TAG = 'aws:RequestTag/'

// {bucket}/x, {queue:advance-normal}, {parameter:/a}, {role:runner}, {log:plan}, {key:old}, {table}, {stream}. A star
// that a record has stands for anything.
function arn(text) {
  const full = text.replace(/\{(([a-z]+)(?::([^}]*))?)\}/g, (_, whole, kind, name) => {
    switch (kind) {
      case 'queue': return `arn:aws:sqs:${REGION}:${ACCOUNT}:${PREFIX}-${name}`
      case 'parameter': return `arn:aws:ssm:${REGION}:${ACCOUNT}:parameter${name}`
      case 'role': return `arn:aws:iam::${ACCOUNT}:role/${PREFIX}-${name}`
      case 'log': return `arn:aws:logs:${REGION}:${ACCOUNT}:log-group:/aws/lambda/${PREFIX}-${name}:log-stream:s`
      case 'group': return `arn:aws:autoscaling:${REGION}:${ACCOUNT}:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/${PREFIX}-${name}`
      default:
        if (!policies.names[whole]) throw new Error(`{${whole}} was not applied`)
        return policies.names[whole]
    }
  })
  return full === '*' ? full : full.replaceAll('*', 'x')
}

function role(who) {
  const found = policies.roles[`${PREFIX}-${who}`]
  if (!found?.policy) throw new Error(`no policy of ${PREFIX}-${who} was applied`)
  return found
}

const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }

// What the resource itself says: a file has the policy of its bucket.
const own = (on) => policies.resources[on.startsWith('arn:aws:s3:::') ? on.split('/')[0] : on]

async function isAllowed({ who, action, on, context }) {
  const { arn: principal, policy } = role(who)
  const tags = Object.entries(policies.tags[on] ?? {}).map(([name, value]) => [`aws:ResourceTag/${name}`, value])
  const values = { ...context }
  if (values[PARTITIONS]) values[PARTITIONS] = list(values[PARTITIONS])
  const set = Object.keys(values).filter((name) => name.startsWith(TAG)).map((name) => name.slice(TAG.length))
  if (set.length > 0) values['aws:TagKeys'] = set
  const answer = await runSimulation({
    request: {
      // A session of the role, as AWS names it.
      principal: principal.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/') + '/session',
      action,
      resource: { resource: on, accountId: ACCOUNT },
      contextVariables: { 'aws:SecureTransport': 'true', 'aws:PrincipalArn': principal, ...Object.fromEntries(tags), ...values }
    },
    identityPolicies: [{ name: who, policy }],
    serviceControlPolicies: [{ orgIdentifier: 'root', policies: [{ name: 'all', policy: everything }] }],
    resourceControlPolicies: [],
    resourcePolicy: own(on)
  }, {})
  if (answer.resultType === 'error') throw new Error(`${who} ${action} ${on}: ${JSON.stringify(answer.errors)}`)
  return answer.overallResult === 'Allowed'
}

const everybody = Object.entries(policies.roles).filter(([, role]) => role.policy).map(([name]) => name.slice(PREFIX.length + 1))

// Every call that a group stands for: each of its roles, actions, resources and partitions with each. `as` names a
// session of the role.
function calls(group) {
  const all = []
  const who = group.who === '*' ? everybody.filter((name) => !list(group.but).includes(name)) : list(group.who)
  for (const name of list(group.but)) role(name)
  for (const name of who) {
    for (const action of list(group.actions)) {
      for (const on of list(group.on)) {
        for (const partition of group.partitions ?? [undefined]) {
          const context = { ...sessions[group.as], ...group.context, ...(partition === undefined ? {} : { [PARTITIONS]: partition }) }
          all.push({ who: name, action, on: arn(on.replaceAll('$who', name)), context })
        }
      }
    }
  }
  return all
}

const stars = (text) => new RegExp('^' + text.replace(/\$\{[^}]*\}/g, '*').split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*') + '$')
const matches = (texts, value) => texts.some((text) => stars(text).test(value))

// Resources that a right is granted on together: the queues of runners are one, and so are the lanes of a function's
// queue. Everything else is by itself.
function kind(resource) {
  const tags = policies.tags[resource]
  if (tags?.['millrace-role']) return tags['millrace-role'] === 'control' ? tags['millrace-queue'] : 'the queues of runners'
  return resource
}

// What is granted: each action on each kind of resource, and each partition.
function rights(who, policy) {
  const all = []
  for (const statement of list(policy?.Statement).filter((statement) => statement.Effect === 'Allow')) {
    const condition = Object.values(statement.Condition ?? {}).flatMap((keys) => list(keys[PARTITIONS]))
    const partitions = condition.filter((value) => value !== 'false')
    const actions = list(statement.Action).map((action) => action.toLowerCase())
    const resources = list(statement.Resource)
    const of = `${who}, ${statement.Sid}`
    const serves = (call, actions, resources, partitions) => call.who === who &&
      actions.includes(call.action.toLowerCase()) && matches(resources, call.on) &&
      (partitions.length === 0 || list(call.context[PARTITIONS]).some((partition) => matches(partitions, partition)))
    for (const action of list(statement.Action)) {
      for (const on of new Set(resources.map(kind))) {
        const those = resources.filter((resource) => kind(resource) === on)
        const name = `${who}: ${action} on ${on} (${statement.Sid})`
        all.push({ name, of, what: action, isUsedBy: (call) => serves(call, [action.toLowerCase()], those, partitions) })
      }
    }
    for (const partition of partitions) {
      const name = `${who}: rows of ${partition} (${statement.Sid})`
      all.push({ name, of, what: partition, isUsedBy: (call) => serves(call, actions, resources, [partition]) })
    }
  }
  return all
}

const wrong = []
const say = ({ who, action, on, context }) => `${who}: ${action} on ${on}${Object.keys(context).length ? ' ' + JSON.stringify(context) : ''}`

const records = recordFiles.flatMap(read)
const seen = records.map(({ component, action, resource, context }) =>
  ({ who: component, action, on: arn(resource), context: { ...sessions[component], ...context } }))
// What happens in some runs alone: as others were seen to do it, or calls by their names.
const rare = read(`${folder}/rare.json`).flatMap((entry) => entry.like
  ? seen.filter(({ who, action }) => entry.like.includes(who) && entry.services.includes(action.split(':')[0])).map((call) => ({ ...call, who: entry.who }))
  : calls(entry))
const recorded = [...new Map([...seen, ...rare].map((call) => [say(call), call])).values()]
for (const call of recorded) {
  if (!await isAllowed(call)) wrong.push(`${say(call)} is denied, and was made`)
}
const forbidden = denied.flatMap(calls)
for (const call of forbidden) {
  if (await isAllowed(call)) wrong.push(`${say(call)} is allowed, and nobody should do it`)
}

const granted = Object.entries(policies.roles).flatMap(([name, { policy }]) => rights(name.slice(PREFIX.length + 1), policy))
for (const { name } of granted) {
  if (/: \S*\*\S* on /.test(name)) wrong.push(`${name}: a wildcard`)
}
const unused = new Set(granted.filter((right) => !recorded.some(right.isUsedBy)))
const without = new Set(unused)
const lines = new Map()
for (const entry of read(unusedFile)) {
  if (!entry.why) throw new Error(`${unusedFile}: no reason: ${JSON.stringify(entry)}`)
  const names = lines.get(entry.why) ?? new Map()
  lines.set(entry.why, names)
  for (const call of calls({ as: entry.who, ...entry })) {
    if (!await isAllowed(call)) wrong.push(`${say(call)}: has a reason, and is not granted: take it out of ${unusedFile}`)
    const covered = [...unused].filter((right) => right.isUsedBy(call))
    if (!granted.some((right) => right.isUsedBy(call))) continue
    if (covered.length === 0) wrong.push(`${say(call)}: has a reason, and is used: take it out of ${unusedFile}`)
    for (const right of covered) {
      names.set(right.of, (names.get(right.of) ?? new Set()).add(right.what))
      without.delete(right)
    }
  }
}
for (const [why, names] of lines) {
  console.log(`granted, and not used in a run: ${why}`)
  for (const [of, what] of names) console.log(`  ${of}: ${[...what].join(', ')}`)
}
for (const { name } of without) wrong.push(`${name} is granted, never used, and has no reason in ${unusedFile}`)

for (const line of wrong) console.error(line)
console.log(`${recorded.length} calls to allow, ${forbidden.length} to deny, ${granted.length} rights, ${unused.size - without.size} of them unused with a reason; ${wrong.length} wrong`)
process.exit(wrong.length === 0 ? 0 : 1)
