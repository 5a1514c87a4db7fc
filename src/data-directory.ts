// A node's data directory: whose it is, and that nobody else is in it. Layout: `identity.json`, `state/` (the engine),
// `log/` (segments). The identity is written at birth, when the node's cluster is known, and when the node or a
// peer has moved.
//
// Invariant: a directory without a cluster id has promised nothing to anybody (DESIGN.md 5): what is left in its log and
// state from an interrupted init or join may be thrown away.

import {
  accessSync,
  closeSync,
  constants,
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
import { isDeepStrictEqual } from 'node:util'
import { crc32 } from 'node:zlib'
import { assert } from './base/assert.ts'
import { KvError } from './base/errors.ts'
import { startAnew } from './base/remedies.ts'
import { type ClusterId, type NodeId, type StoreId, asClusterId, asNodeId, asStoreId } from './base/ids.ts'
import type { PeerAddresses } from './node-ports.ts'
import { type Lineage, firstLineage, incarnationOf, nextLineage } from './transport/incarnation.ts'

export interface DirectoryIdentity {
  readonly node: NodeId
  readonly storeId: StoreId
  readonly clusterId: ClusterId | undefined
  readonly lineage: Lineage
  /** Where it ran last; empty: nowhere yet. */
  readonly place: string
  /** Where peers were told to dial it; empty: they were not. */
  readonly peerAddress: string
  /** Where its peers were said to be. */
  readonly peers: PeerAddresses
}

/** 2: UTF-8 keys in the engine. 3: large rows in files. 4: outlines of runs. 5: skips. 6: hashes of the whole state. */
const formatVersion = 6
const identityFile = 'identity.json'
/** Made by file systems where they are mounted, and for root alone. */
const lostAndFound = 'lost+found'
/** As deep as files lie: `state/values/…`. */
const directoryLevels = 3

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
    checkAccess(path)
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
    const strangers = readdirSync(path).filter(name => !isWelcome(path, name))
    if (strangers.length > 0)
      throw new KvError(
        'data-directory',
        `${path} holds ${strangers.slice(0, 3).join(', ')} but no ${identityFile}: it is not a Quorate data directory. Give an empty directory with --data, or restore its ${identityFile}.`,
      )
    const directory = new DataDirectory(path, {
      node,
      storeId: asStoreId(randomBytes(16).toString('hex')),
      clusterId: undefined,
      lineage: firstLineage,
      place: '',
      peerAddress: '',
      peers: {},
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
  joinCluster(clusterId: ClusterId, peers: PeerAddresses = {}): void {
    this.#change({ clusterId, peers })
  }

  get peers(): PeerAddresses {
    return this.#identity.peers
  }

  rememberPeers(peers: PeerAddresses): void {
    if (!isDeepStrictEqual(peers, this.#identity.peers)) this.#change({ peers })
  }

  get peerAddress(): string {
    return this.#identity.peerAddress
  }

  /** Only with the engine's lock held: what another process says of this directory must stay true. */
  settle(place: string, randomInt: (bound: number) => number): void {
    const { place: before, lineage } = this.#identity
    if (place !== before) this.#change({ place, lineage: before === '' ? lineage : nextLineage(lineage, randomInt) })
  }

  announce(peerAddress: string): void {
    if (peerAddress !== this.#identity.peerAddress) this.#change({ peerAddress })
  }

  confirmIncarnation(): void {
    const { lineage } = this.#identity
    if (lineage.length > 1) this.#change({ lineage: [incarnationOf(lineage)] })
  }

  #change(change: Partial<DirectoryIdentity>): void {
    this.#identity = { ...this.#identity, ...change }
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

/**
 * Files that this process may not read or write would look like damage, or like none at all, further on. Where a part of the
 * directory is on a disk of its own, that counts as well.
 */
function checkAccess(path: string): void {
  let asked = path
  const ask = (item: string, levels: number): void => {
    asked = item
    const isDirectory = statSync(item).isDirectory()
    accessSync(item, constants.R_OK | constants.W_OK | (isDirectory ? constants.X_OK : 0))
    if (!isDirectory || levels === 0) return
    for (const name of readdirSync(item)) if (name !== lostAndFound) ask(join(item, name), levels - 1)
  }
  try {
    ask(path, directoryLevels)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const owner = statSync(asked, { throwIfNoEntry: false })?.uid
    const remedy =
      code === 'EROFS'
        ? 'Mount its file system for writing, or give another path with --data.'
        : `It belongs to user ${owner ?? '(unknown)'}, and this process runs as user ${process.getuid?.() ?? '(unknown)'}: start the node as its owner, or give it to this user with chown.`
    throw new KvError(
      'data-directory',
      `${asked} cannot be read and written (${text(error)}). Nothing is known to be damaged. ${remedy}`,
      { cause: error },
    )
  }
}

/** What may lie in a directory before it is a node's: what a file system puts there, and places for disks of their own. */
function isWelcome(path: string, name: string): boolean {
  if (name === `${identityFile}.new` || name === lostAndFound) return true
  if (name !== 'log' && name !== 'state') return false
  const part = join(path, name)
  return statSync(part).isDirectory() && readdirSync(part).every(inner => inner === lostAndFound)
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
      `${file} is damaged (${why}), and the node must not guess who it is. Restore this file from a backup. If there is none: ${startAnew}`,
    )
  let bytes: string
  try {
    bytes = readFileSync(file, 'utf8')
  } catch (error) {
    throw new KvError(
      'data-directory',
      `${file} cannot be read: ${text(error)}. Nothing in it is known to be damaged.`,
      {
        cause: error,
      },
    )
  }
  let outer: { identity?: unknown; crc?: unknown }
  try {
    outer = JSON.parse(bytes) as typeof outer
  } catch (error) {
    throw damaged(text(error))
  }
  if (typeof outer?.identity !== 'string' || crc32(outer.identity) !== outer.crc)
    throw damaged('its checksum does not match')
  const inner = JSON.parse(outer.identity) as DirectoryIdentity & { readonly format: number }
  if (inner.format !== formatVersion)
    throw new KvError(
      'data-directory',
      `${file} has format ${inner.format}; this program reads format ${formatVersion}. Start the version that wrote it.`,
    )
  return {
    node: asNodeId(inner.node),
    storeId: asStoreId(inner.storeId),
    clusterId: inner.clusterId === undefined ? undefined : asClusterId(inner.clusterId),
    lineage: inner.lineage,
    place: inner.place,
    peerAddress: inner.peerAddress,
    peers: inner.peers,
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
