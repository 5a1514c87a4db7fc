// What a node can be told: flag > environment (QUORATE_*) > file > default, validated whole, so that one run shows
// every mistake with its reason and remedy.

import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { KvError } from './base/errors.ts'
import { type NodeId, asNodeId } from './base/ids.ts'
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

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Throws KvError `invalid-argument` that lists every mistake. Flags are named as on the command line, without dashes. */
export function parseConfig(flags: Flags, env: Readonly<Record<string, string | undefined>>): NodeConfig {
  const mistakes: string[] = []
  const file = readConfigFile(single(flags.config) ?? env.QUORATE_CONFIG, mistakes)
  const pick = (name: string): string | undefined =>
    single(flags[name]) ?? env[`QUORATE_${name.replaceAll('-', '_').toUpperCase()}`] ?? single(file[name])
  const many = (name: string): string[] => {
    const flag = list(flags[name])
    if (flag.length > 0) return flag
    const fromEnv = env[`QUORATE_${name.replaceAll('-', '_').toUpperCase()}`]
    return fromEnv === undefined ? list(file[name]) : list(fromEnv)
  }

  const node = pick('node') ?? hostname().split('.')[0]!.toLowerCase()
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(node))
    mistakes.push(`--node ${node}: a name is 1 to 63 of a-z, 0-9 and -, such as n1`)
  const address = (name: string, fallback: string): Address => {
    const text = pick(name) ?? fallback
    const parsed = parseAddress(text)
    if (parsed !== undefined) return parsed
    mistakes.push(`--${name} ${text}: an address is host:port, such as 127.0.0.1:7101`)
    return { host: '127.0.0.1', port: 0 }
  }
  const optionalAddress = (name: string): string | undefined => {
    const text = pick(name)
    if (text !== undefined && parseAddress(text) === undefined)
      mistakes.push(`--${name} ${text}: an address is host:port, such as 127.0.0.1:7101`)
    return text
  }
  const milliseconds = (name: string, fallback: number, least: number, most: number): number => {
    const text = pick(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (Number.isInteger(value) && value >= least && value <= most) return value
    mistakes.push(`--${name} ${text}: whole milliseconds from ${least} to ${most}`)
    return fallback
  }

  const join = many('join')
    .flatMap(item => item.split(','))
    .map(item => item.trim())
    .filter(item => item !== '')
  for (const item of join)
    if (parseAddress(item) === undefined)
      mistakes.push(`--join ${item}: an address is host:port, such as 127.0.0.1:7201`)
  const peers = new Map<NodeId, string>()
  for (const item of many('peer')) {
    const [name, target] = splitOnce(item, '=')
    if (target === undefined || parseAddress(target) === undefined)
      mistakes.push(`--peer ${item}: it is NAME=HOST:PORT`)
    else peers.set(asNodeId(name), target)
  }
  const electionTimeoutMs = milliseconds('election-timeout', 300, 50, 60_000)
  const heartbeatMs = milliseconds('heartbeat', Math.max(10, Math.floor(electionTimeoutMs / 6)), 5, 10_000)
  if (heartbeatMs * 3 > electionTimeoutMs)
    mistakes.push(
      `--heartbeat ${heartbeatMs}: at most a third of --election-timeout (${electionTimeoutMs}), or one late packet unseats a leader`,
    )
  const logLevel = pick('log-level') ?? 'info'
  if (!logLevels.includes(logLevel)) mistakes.push(`--log-level ${logLevel}: one of ${logLevels.join(', ')}`)

  const limits = parseLimits(many('set'), mistakes)
  const config: NodeConfig = {
    node: asNodeId(node),
    dataDirectory: pick('data') ?? `.quorate/${node}`,
    listen: address('listen', '127.0.0.1:7101'),
    peerListen: address('peer-listen', '127.0.0.1:7201'),
    httpListen: address('http-listen', '127.0.0.1:7301'),
    advertise: optionalAddress('advertise'),
    peerAdvertise: optionalAddress('peer-advertise'),
    httpAdvertise: optionalAddress('http-advertise'),
    join,
    peers,
    electionTimeoutMs,
    heartbeatMs,
    logLevel,
    reflection: flags.reflection === true || pick('reflection') === 'true',
    votersTarget: milliseconds('voters', 5, 1, 9),
    limits,
  }
  if (mistakes.length > 0) throw new KvError('invalid-argument', mistakes.join('\n'))
  return config
}

export function parseAddress(text: string): Address | undefined {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:\s/]+):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[2])
  if (port > 65_535) return undefined
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
}

function readConfigFile(path: string | undefined, mistakes: string[]): Flags {
  if (path === undefined) return {}
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Flags
    mistakes.push(`--config ${path}: it must hold one JSON object whose names are the flags, without dashes`)
  } catch (error) {
    mistakes.push(`--config ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  return {}
}

function single(value: Flags[string]): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || value === undefined) return value === true ? 'true' : undefined
  return value.at(-1)
}

function list(value: Flags[string]): string[] {
  if (value === undefined || typeof value === 'boolean') return []
  return typeof value === 'string' ? value.split(',').filter(item => item !== '') : [...value]
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
