// What a node can be told: flag > environment (QUORATE_*) > file > default, validated whole, so that one run shows
// every mistake with its reason and remedy.

import { hostname } from 'node:os'
import { z } from 'zod'
import { must } from './base/assert.ts'
import { KvError } from './base/errors.ts'
import { type NodeId, asNodeId } from './base/ids.ts'
import { nearestName } from './base/nearest-name.ts'
import { type ConfigFile, readConfigFile } from './config-file.ts'
import { type NodeLimits, parseLimits } from './node-limits.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface NodeConfig {
  readonly node: NodeId
  readonly dataDirectory: string
  readonly listen: Address
  readonly peerListen: Address
  readonly httpListen: Address
  /** What other nodes and clients are told to dial; undefined: the bound address. */
  readonly advertise: string | undefined
  readonly peerAdvertise: string | undefined
  readonly httpAdvertise: string | undefined
  /** Peer addresses asked for a cluster to join. Only addresses: they make nobody a member. */
  readonly join: readonly string[]
  /** Where this node dials a peer, whatever the registry says. */
  readonly peers: ReadonlyMap<NodeId, string>
  /** The smallest election timeout; each election draws from [this, twice this). */
  readonly electionTimeoutMs: number
  readonly heartbeatMs: number
  readonly logLevel: string
  readonly reflection: boolean
  /** Voters that the cluster grows to by itself. */
  readonly votersTarget: number
  readonly limits: NodeLimits
}

export type Flags = Readonly<Record<string, string | readonly string[] | boolean | undefined>>

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const nodeNamePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

const addressRule = 'an address is host:port, such as 127.0.0.1:7101'
const address = z
  .string(addressRule)
  .transform(parseAddress)
  .pipe(z.custom<Address>(value => value !== undefined, addressRule))
/** An address that somebody is to dial. */
const addressText = z.string(addressRule).superRefine((text, context) => checkDialled(text, context, addressRule))

/** A whole number, in digits or as JSON has it. */
function whole(least: number, most: number, unit: string): z.ZodType<number> {
  const rule = `${unit} from ${least} to ${most}`
  const toNumber = (value: unknown): unknown =>
    typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return z.preprocess(toNumber, z.int(rule).gte(least, rule).lte(most, rule))
}

/** Texts, separated by commas or in an array; an object of a file stands for NAME=VALUE each. */
function list(rule: string, check: (item: string, context: z.RefinementCtx) => void = () => {}): z.ZodType<string[]> {
  return z.preprocess(toList, z.array(z.string(rule).superRefine(check), rule))
}

const yesOrNo = z.preprocess(
  value => ({ true: true, 1: true, false: false, 0: false })[String(value)] ?? value,
  z.boolean('true or false'),
)

const joinRule = 'an address is host:port, such as 127.0.0.1:7201'
const peerRule = 'it is NAME=HOST:PORT, such as n2=127.0.0.1:7202'

/** Every option by its one name: a flag, a variable of the environment and a name in the file. */
const optionsSchema = z.strictObject({
  node: z.string('a name is text').regex(nodeNamePattern, 'a name is 1 to 63 of a-z, 0-9 and -, such as n1'),
  data: z.string('the path of a directory').min(1, 'the path of a directory').optional(),
  listen: address.default({ host: '127.0.0.1', port: 7101 }),
  'peer-listen': address.default({ host: '127.0.0.1', port: 7201 }),
  'http-listen': address.default({ host: '127.0.0.1', port: 7301 }),
  advertise: addressText.optional(),
  'peer-advertise': addressText.optional(),
  'http-advertise': addressText.optional(),
  join: list(joinRule, (item, context) => checkDialled(item, context, joinRule)).default([]),
  peer: list(peerRule, (item, context) => checkDialled(parsePeer(item)?.[1] ?? '', context, peerRule)).default([]),
  voters: whole(1, 9, 'a whole number').default(5),
  'election-timeout': whole(50, 60_000, 'whole milliseconds').default(300),
  heartbeat: whole(5, 10_000, 'whole milliseconds').optional(),
  'log-level': z.enum(logLevels, `one of ${logLevels.join(', ')}`).default('info'),
  reflection: yesOrNo.default(false),
  set: list('a limit is NAME=VALUE, such as write.valueBytes=2097152').default([]),
})

/** What is listened on, and what others are told of it. */
const advertised = [
  ['listen', 'advertise'],
  ['peer-listen', 'peer-advertise'],
  ['http-listen', 'http-advertise'],
] as const

const optionNames = Object.keys(optionsSchema.shape)

/** A value, and how a message names the place that it came from. */
interface Given {
  readonly label: string
  readonly value: unknown
}

/**
 * Flags are named as on the command line, without dashes. Throws KvError `invalid-argument` that
 * lists every mistake, each with the place where it was made.
 */
export function parseConfig(flags: Flags, env: Readonly<Record<string, string | undefined>>): NodeConfig {
  const mistakes: string[] = []
  const path = typeof flags.config === 'string' ? flags.config : env.QUORATE_CONFIG || undefined
  const file = path === undefined ? undefined : readConfigFile(path, mistakes)
  const given = gather(flags, env, file, mistakes)
  const hostName = hostname().split('.')[0]!.toLowerCase()
  if (!given.has('node')) given.set('node', { label: "--node (this host's name)", value: hostName })
  const parsed = optionsSchema.safeParse(valuesOf(given))
  if (!parsed.success) {
    for (const { path: place, message } of parsed.error.issues) {
      const name = String(place[0])
      const { label, value } = must(given.get(name))
      const item = typeof place[1] === 'number' ? (toList(value) as unknown[])[place[1]] : value
      const mistake = `${label} ${shown(item)}: ${message}`
      if (!mistakes.includes(mistake)) mistakes.push(mistake)
    }
    for (const { path: place } of parsed.error.issues) given.delete(String(place[0]))
    if (!given.has('node')) given.set('node', { label: '--node', value: 'unnamed' })
  }
  // One run shows every mistake: those that need several options are looked for in what is right so far.
  const config = toNodeConfig(parsed.data ?? optionsSchema.parse(valuesOf(given)), mistakes)
  if (mistakes.length > 0) throw new KvError('invalid-argument', mistakes.join('\n'))
  return config
}

function valuesOf(given: ReadonlyMap<string, Given>): Record<string, unknown> {
  return Object.fromEntries([...given].map(([name, { value }]) => [name, value]))
}

function toNodeConfig(options: z.infer<typeof optionsSchema>, mistakes: string[]): NodeConfig {
  const electionTimeoutMs = options['election-timeout']
  const heartbeatMs = options.heartbeat ?? Math.max(10, Math.floor(electionTimeoutMs / 6))
  if (heartbeatMs * 3 > electionTimeoutMs)
    mistakes.push(
      `--heartbeat ${heartbeatMs}: at most a third of --election-timeout (${electionTimeoutMs}), ` +
        'or one late packet unseats a leader',
    )
  for (const [at, [listenName, advertiseName]] of advertised.entries()) {
    const { host, port } = options[listenName]
    const before = advertised.slice(0, at).find(([name]) => options[name].port === port && options[name].host === host)
    if (before !== undefined && port !== 0)
      mistakes.push(`--${listenName} ${hostPort(host, port)}: --${before[0]} has this port already, give each its own`)
    if (isEveryInterface(host) && options[advertiseName] === undefined)
      mistakes.push(
        `--${listenName} ${hostPort(host, port)}: it listens on every interface, and nobody ` +
          `can dial that. Give the address at which others reach this node, such as ` +
          `--${advertiseName} ${options.node}:${port || 'PORT'}, or listen on one address`,
      )
  }
  return {
    node: asNodeId(options.node),
    dataDirectory: options.data ?? `.quorate/${options.node}`,
    listen: options.listen,
    peerListen: options['peer-listen'],
    httpListen: options['http-listen'],
    advertise: options.advertise,
    peerAdvertise: options['peer-advertise'],
    httpAdvertise: options['http-advertise'],
    join: options.join,
    peers: new Map(options.peer.map(item => parsePeer(item)!)),
    electionTimeoutMs,
    heartbeatMs,
    logLevel: options['log-level'],
    reflection: options.reflection,
    votersTarget: options.voters,
    limits: parseLimits(options.set, mistakes),
  }
}

/** For each option the first source that names it. What no option is named is a mistake, where its source is ours alone. */
function gather(
  flags: Flags,
  env: Readonly<Record<string, string | undefined>>,
  file: ConfigFile | undefined,
  mistakes: string[],
): Map<string, Given> {
  const given = new Map<string, Given>()
  const offer = (name: string, label: string, value: unknown): void => {
    if (!given.has(name)) given.set(name, { label, value })
  }
  for (const [name, value] of Object.entries(flags)) {
    const isGiven = value !== undefined && !(Array.isArray(value) && value.length === 0)
    if (name !== 'config' && isGiven) offer(name, `--${name}`, value)
  }
  const variables = new Map(optionNames.map(name => [variableOf(name), name]))
  for (const [variable, value] of Object.entries(env)) {
    const name = variables.get(variable)
    // An empty variable is what a composition file makes of one that is not set.
    if (name !== undefined && value) offer(name, variable, value)
    else if (name === undefined && value) checkVariable(variable, [...variables.keys()], mistakes)
  }
  for (const [name, value] of file?.options ?? []) {
    const label = `${file!.path}: ${name}`
    if (optionNames.includes(name)) offer(name, label, value)
    else mistakes.push(`${label}: ${unknownOption(name, optionNames)}`)
  }
  for (const name of [...given.keys()])
    if (!optionNames.includes(name)) {
      mistakes.push(`--${name}: ${unknownOption(name, optionNames)}`)
      given.delete(name)
    }
  return given
}

/** Whoever runs the node may have QUORATE_ variables of its own (a service's address, say): only slips are refused. */
function checkVariable(variable: string, known: readonly string[], mistakes: string[]): void {
  const others = ['QUORATE_CONFIG', 'QUORATE_URL']
  if (!variable.startsWith('QUORATE_') || others.includes(variable)) return
  const nearest = nearestName(
    variable.slice('QUORATE_'.length),
    known.map(name => name.slice('QUORATE_'.length)),
  )
  if (nearest !== undefined) mistakes.push(`${variable}: no option has this name; did you mean QUORATE_${nearest}?`)
}

function unknownOption(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known)
  const hint = nearest === undefined ? `there are ${known.join(', ')}` : `did you mean ${nearest}?`
  return `no option has this name; ${hint}`
}

function variableOf(name: string): string {
  return `QUORATE_${name.replaceAll('-', '_').toUpperCase()}`
}

function toList(value: unknown): unknown {
  if (typeof value === 'string') return splitList(value)
  if (Array.isArray(value)) return value.flatMap(item => (typeof item === 'string' ? splitList(item) : [item]))
  if (typeof value === 'object' && value !== null) return namedValues(value, '')
  return value
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

function namedValues(values: object, prefix: string): unknown[] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null
      ? namedValues(value, `${prefix}${name}.`)
      : [`${prefix}${name}=${String(value)}`],
  )
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** 0.0.0.0, [::], and whatever else is read as one of them: 0, 0.0, 0x0, 0:0::0. */
function isEveryInterface(host: string): boolean {
  try {
    const read = new URL(`http://${host.includes(':') ? `[${host}]` : host}`).hostname
    return read === '0.0.0.0' || read === '[::]' || read === '[::ffff:0:0]'
  } catch {
    return false
  }
}

function checkDialled(text: string, context: z.RefinementCtx, rule: string): void {
  const parsed = parseAddress(text)
  if (parsed === undefined) context.addIssue(rule)
  else if (isEveryInterface(parsed.host))
    context.addIssue(
      `${parsed.host} stands for every interface and can be listened on, not dialled: ` +
        'give an address or a name of the machine',
    )
  else if (parsed.port === 0)
    context.addIssue('port 0 stands for any free port and can be listened on, not dialled: give the port')
}

export function parseAddress(text: string): Address | undefined {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:\s/]+):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[2])
  if (port > 65_535) return undefined
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}

function parsePeer(text: string): [NodeId, string] | undefined {
  const at = text.indexOf('=')
  const [name, target] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)]
  if (!nodeNamePattern.test(name) || parseAddress(target) === undefined) return undefined
  return [asNodeId(name), target]
}
