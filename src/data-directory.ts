// A node's data directory: whose it is, and that nobody else is in it. Layout: `identity.json`, `state/` (the engine),
// `log/` (segments). The identity is written once at birth and once more when the node's cluster is known.
//
// Invariant: a directory without a cluster id has promised nothing to anybody (DESIGN.md 5): what is left in its log and
// state from an interrupted init or join may be thrown away.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { assert } from './base/assert.ts'
import { KvError } from './base/errors.ts'
import { type ClusterId, type NodeId, type StoreId, asClusterId, asNodeId, asStoreId } from './base/ids.ts'

export interface DirectoryIdentity {
  readonly node: NodeId
  readonly storeId: StoreId
  readonly clusterId: ClusterId | undefined
}

/** 2: UTF-8 keys in the engine. 3: large rows in files. 4: outlines of runs. 5: skips. 6: hashes of the whole state. */
const formatVersion = 6
const identityFile = 'identity.json'

export class DataDirectory {
  readonly path: string
  #identity: DirectoryIdentity

  private constructor(path: string, identity: DirectoryIdentity) {
    this.path = path
    this.#identity = identity
  }

  /** Throws KvError `data-directory` with cause and remedy: foreign, damaged, another node's, or not writable. */
  static open(path: string, node: NodeId): DataDirectory {
    try {
      makeDirectory(resolve(path))
    } catch (error) {
      if (error instanceof KvError) throw error
      throw new KvError(
        'data-directory',
        `cannot make the data directory ${path}: ${text(error)}. Give a writable path with --data.`,
        { cause: error },
      )
    }
    const file = join(path, identityFile)
    if (existsSync(file)) {
      const identity = readIdentity(file)
      if (identity.node !== node)
        throw new KvError(
          'data-directory',
          `${path} belongs to node ${identity.node}, not to ${node}. Start it with --node ${identity.node}, or give ${node} a directory of its own with --data.`,
        )
      const directory = new DataDirectory(path, identity)
      return directory
    }
    const strangers = readdirSync(path).filter(name => name !== `${identityFile}.new`)
    if (strangers.length > 0)
      throw new KvError(
        'data-directory',
        `${path} holds ${strangers.slice(0, 3).join(', ')} but no ${identityFile}: it is not a Quorate data directory. Give an empty directory with --data, or restore its ${identityFile}.`,
      )
    const directory = new DataDirectory(path, {
      node,
      storeId: asStoreId(randomBytes(16).toString('hex')),
      clusterId: undefined,
    })
    directory.#write()
    return directory
  }

  get identity(): DirectoryIdentity {
    return this.#identity
  }

  get statePath(): string {
    return join(this.path, 'state')
  }

  get logPath(): string {
    return join(this.path, 'log')
  }

  /** Durable when it returns. */
  joinCluster(clusterId: ClusterId): void {
    this.#identity = { ...this.#identity, clusterId }
    this.#write()
  }

  /** Only with the engine's lock held: another process may be waiting to join in this directory. */
  discardLog(): void {
    assert(this.#identity.clusterId === undefined, 'the log of a member is never thrown away')
    rmSync(this.logPath, { recursive: true, force: true })
  }

  #write(): void {
    const body = JSON.stringify({ format: formatVersion, ...this.#identity })
    const file = join(this.path, identityFile)
    const handle = openSync(`${file}.new`, 'w', 0o600)
    try {
      writeSync(handle, JSON.stringify({ identity: body, crc: crc32(body) }))
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
    renameSync(`${file}.new`, file)
    const directory = openSync(this.path, 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  }
}

/** One by one: Node's own `recursive` never returns where a parent can hold no directories, as in /proc. */
function makeDirectory(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory()) return
  if (found !== undefined)
    throw new KvError('data-directory', `${path} is a file, not a directory. Give the path of a directory with --data.`)
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

function readIdentity(file: string): DirectoryIdentity {
  const damaged = (why: string): KvError =>
    new KvError(
      'data-directory',
      `${file} is damaged (${why}). The node must not guess who it is: wipe the directory and let the node join anew.`,
    )
  let outer: { identity?: unknown; crc?: unknown }
  try {
    outer = JSON.parse(readFileSync(file, 'utf8')) as typeof outer
  } catch (error) {
    throw damaged(text(error))
  }
  if (typeof outer?.identity !== 'string' || crc32(outer.identity) !== outer.crc)
    throw damaged('its checksum does not match')
  const inner = JSON.parse(outer.identity) as { format: number; node: string; storeId: string; clusterId?: string }
  if (inner.format !== formatVersion)
    throw new KvError(
      'data-directory',
      `${file} has format ${inner.format}; this program reads format ${formatVersion}. Start the version that wrote it.`,
    )
  return {
    node: asNodeId(inner.node),
    storeId: asStoreId(inner.storeId),
    clusterId: inner.clusterId === undefined ? undefined : asClusterId(inner.clusterId),
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
