// What every Transport owes (src/transport/transport.ts), as tests.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type NodeId, asIndex, asNodeId, asRangeId, asReplicaId, asTerm } from '../../src/base/ids.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { Entry, SnapshotMeta } from '../../src/raft/types.ts'
import { addMs } from '../../src/time/timestamp.ts'
import type { IncomingSnapshot, OutgoingSnapshot, RangeMessage, Transport } from '../../src/transport/transport.ts'
import { until, within } from '../support/until.ts'
import { type TestNode, electionTimeoutMs } from './grpc-world.ts'

export interface ContractNode extends TestNode {
  readonly transport: Transport
}

/** n1 and n2, which know each other. */
export interface ContractWorld {
  readonly a: ContractNode
  readonly b: ContractNode
  /** Nothing of `from` reaches `to` any more. */
  cut(from: NodeId, to: NodeId): void
  heal(from: NodeId, to: NodeId): void
  close(): Promise<void>
}

const n1 = asNodeId('n1')
const n2 = asNodeId('n2')
const base = { from: asReplicaId(1), to: asReplicaId(2), term: asTerm(7) }
const meta: SnapshotMeta = {
  index: asIndex(90),
  term: asTerm(6),
  configuration: {
    voters: [asReplicaId(1), asReplicaId(2)],
    votersOutgoing: [asReplicaId(1)],
    learners: [asReplicaId(3)],
    learnersNext: [],
    autoLeave: true,
  },
}

export function heartbeat(context: number): RangeMessage {
  return wrap({ kind: 'heartbeat', ...base, commit: asIndex(3), context })
}

export function append(index: number, data: Uint8Array): RangeMessage {
  const entry: Entry = { term: asTerm(7), index: asIndex(index), kind: 'command', data }
  const previous = { previousIndex: asIndex(index - 1), previousTerm: asTerm(7) }
  return wrap({ kind: 'append-entries', ...base, ...previous, commit: asIndex(0), entries: [entry] })
}

export function wrap(message: RangeMessage['message']): RangeMessage {
  return { rangeId: asRangeId(4), generation: 9, message }
}

export const oneOfEach: readonly RangeMessage['message'][] = [
  {
    kind: 'request-vote',
    ...base,
    preVote: true,
    lastIndex: asIndex(2 ** 40),
    lastTerm: asTerm(6),
    transfer: true,
  },
  { kind: 'request-vote-response', ...base, preVote: false, granted: true },
  {
    kind: 'append-entries',
    ...base,
    previousIndex: asIndex(0),
    previousTerm: asTerm(0),
    commit: asIndex(5),
    entries: [
      { term: asTerm(1), index: asIndex(1), kind: 'empty', data: new Uint8Array(0) },
      { term: asTerm(1), index: asIndex(2), kind: 'command', data: Uint8Array.of(1, 2, 3) },
      { term: asTerm(7), index: asIndex(3), kind: 'configuration', data: Uint8Array.of(9) },
    ],
  },
  {
    kind: 'append-entries-response',
    ...base,
    index: asIndex(4),
    rejected: true,
    hintIndex: asIndex(2),
    hintTerm: asTerm(1),
    held: true,
  },
  { kind: 'heartbeat', ...base, commit: asIndex(3), context: 12 },
  { kind: 'heartbeat-response', ...base, context: 12, held: true, needsState: true },
  { kind: 'timeout-now', ...base },
  { kind: 'read-index-request', ...base, context: 5 },
  { kind: 'read-index-response', ...base, context: 5, index: asIndex(8), rejected: false },
  { kind: 'state-hash', ...base, index: asIndex(1_024), hash: '00112233deadbeef', isAnswer: true, isChecksum: true },
]

export function outgoing(
  chunks: AsyncIterable<Uint8Array>,
  onProgress: (workBytes: number) => void = () => {},
): OutgoingSnapshot {
  const descriptor = quorate.v1.RangeDescriptor.encode({ rangeId: 4, generation: 9, start: Uint8Array.of(1) }).finish()
  const { from, to, term } = base
  return { rangeId: asRangeId(4), from, to, term, meta, descriptor, chunks, onProgress }
}

export async function* chunksOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array, undefined> {
  for (const chunk of chunks) yield chunk
  return undefined
}

async function read(snapshot: IncomingSnapshot): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of snapshot.chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

export function transportContract(name: string, open: () => Promise<ContractWorld>): void {
  describe(`the Transport contract: ${name}`, () => {
    let world: ContractWorld
    beforeEach(async () => {
      world = await open()
    })
    afterEach(() => world.close())

    const arrived = (): RangeMessage['message'][] => world.b.received.map(({ item }) => item.message)
    const contexts = (): number[] => arrived().map(message => (message.kind === 'heartbeat' ? message.context : -1))

    it('hands over messages of every kind as they were sent, with their range and sender', async () => {
      for (const message of oneOfEach) world.a.transport.send(n2, 'control', wrap(message))
      await until('all kinds arrive', () => world.b.received.length === oneOfEach.length)
      expect(plain(arrived())).toEqual(plain(oneOfEach))
      expect(
        world.b.received.every(({ from, item }) => from === n1 && item.rangeId === 4 && item.generation === 9),
      ).toBe(true)
    })

    it('keeps the order of each channel', async () => {
      for (let i = 0; i < 500; i++) world.a.transport.send(n2, 'control', heartbeat(i))
      await until('500 messages arrive', () => world.b.received.length === 500)
      expect(contexts()).toEqual(Array.from({ length: 500 }, (_, i) => i))
    })

    it('delivers nothing before send has returned', async () => {
      await connected(world)
      const before = world.b.received.length
      world.a.transport.send(n2, 'control', heartbeat(1))
      expect(world.b.received.length).toBe(before)
      await until('it arrives afterwards', () => world.b.received.length === before + 1)
    })

    it('reports messages to a node that it does not know as undeliverable', async () => {
      world.a.transport.send(asNodeId('n9'), 'append', heartbeat(1))
      await until('it is reported', () => world.a.unreachable.includes(asNodeId('n9')))
    })

    it('delivers nothing to another store than the one that was meant', async () => {
      world.a.transport.setPeers([{ node: n2, storeId: '0'.repeat(32) as never, peerAddress: peerAddressOf(world) }])
      world.a.transport.send(n2, 'control', heartbeat(1))
      await until('it is reported', () => world.a.unreachable.includes(n2))
      expect(world.b.received).toEqual([])
    })

    it('reports what was sent into a cut link, and delivers again after healing', async () => {
      await connected(world)
      world.cut(n1, n2)
      await until('it is reported', () => {
        world.a.transport.send(n2, 'control', heartbeat(1))
        return world.a.unreachable.includes(n2)
      })
      world.heal(n1, n2)
      await connected(world)
    })

    it('calls a peer live while frames of it arrive, and dead once they no longer do', async () => {
      await until('n1 is live', () => world.b.transport.health()[0]?.live)
      expect(world.b.transport.health()[0]).toMatchObject({
        node: n1,
        incarnation: 1,
        flushMicros: 120,
        freeBytes: 5_000_000_000,
      })
      world.cut(n1, n2)
      await until('n1 is dead', () => world.b.transport.health()[0]?.live === false)
      world.heal(n1, n2)
      await until('n1 is live again', () => world.b.transport.health()[0]?.live)
    })

    it("moves the receiver's clock past the sender's before messages are handed over", async () => {
      await connected(world)
      world.a.context.hybridClock.mergeOwn(addMs(world.a.context.hybridClock.raw(), 400))
      const sent = world.a.context.hybridClock.acknowledged()
      const before = world.b.received.length
      world.a.transport.send(n2, 'control', heartbeat(1))
      await until('it arrives', () => world.b.received.length > before)
      expect(world.b.context.hybridClock.now()).toBeGreaterThan(sent)
    })

    it('drops a frame whole, and unmerged, when its clock is too far ahead', async () => {
      await connected(world)
      world.a.context.hybridClock.mergeOwn(addMs(world.a.context.hybridClock.raw(), 60_000))
      const before = world.b.received.length
      for (let i = 0; i < 20; i++) world.a.transport.send(n2, 'control', heartbeat(i))
      await until('n2 says so', () => world.b.logger.lines.some(line => line.message.includes('dropping what n1 says')))
      expect(world.b.received.length).toBe(before)
      expect(world.b.context.hybridClock.peek()).toBeLessThan(addMs(world.b.context.hybridClock.raw(), 1_000))
    })

    it('streams a snapshot whole, and says that it was installed', async () => {
      const parts = [Buffer.alloc(300_000, 1), Buffer.alloc(1 << 20, 2), Buffer.alloc(7, 3)]
      let seen: { snapshot: IncomingSnapshot; bytes: Buffer } | undefined
      world.b.onSnapshot = async snapshot => {
        seen = { snapshot, bytes: await read(snapshot) }
        return true
      }
      const signal = AbortSignal.timeout(10_000)
      const sent = outgoing(chunksOf(...parts))
      expect(await world.a.transport.sendSnapshot(n2, sent, signal)).toBe(true)
      expect(seen?.bytes.equals(Buffer.concat(parts))).toBe(true)
      const { rangeId, from, to, term, descriptor } = sent
      expect(seen?.snapshot).toMatchObject({ node: n1, rangeId, from, to, term, meta })
      expect(Buffer.from(seen?.snapshot.descriptor ?? []).equals(Buffer.from(descriptor))).toBe(true)
    })

    it('tells how far a snapshot has come: what was received, and then what its receiver says of its installation', async () => {
      const told: number[] = []
      const total = 3 << 20
      world.b.onSnapshot = async snapshot => {
        await read(snapshot)
        await until('all is told', () => {
          snapshot.onInstalling(1)
          return (told.at(-1) ?? 0) > total
        })
        return true
      }
      const chunks = chunksOf(...[1, 2, 3].map(fill => Buffer.alloc(1 << 20, fill)))
      const sent = outgoing(chunks, workBytes => told.push(workBytes))
      expect(await world.a.transport.sendSnapshot(n2, sent, AbortSignal.timeout(10_000))).toBe(true)
      expect(told).toEqual([...told].sort((x, y) => x - y))
    })

    it('says that a snapshot was not installed when the receiver refuses it or throws', async () => {
      const send = (): Promise<boolean> => {
        const sent = outgoing(chunksOf(Buffer.alloc(10)))
        return world.a.transport.sendSnapshot(n2, sent, AbortSignal.timeout(10_000))
      }
      world.b.onSnapshot = async snapshot => (await read(snapshot)).length === 0
      expect(await send()).toBe(false)
      world.b.onSnapshot = () => Promise.reject(new Error('the disk is full'))
      expect(await send()).toBe(false)
      world.b.onSnapshot = async () => true // without having read it
      expect(await send()).toBe(false)
    })

    it('lets neither side take half a snapshot for a whole one when it is aborted', async () => {
      const abort = new AbortController()
      let outcome: string | undefined
      world.b.onSnapshot = async snapshot => {
        try {
          for await (const _ of snapshot.chunks) abort.abort()
          outcome = 'whole'
        } catch {
          outcome = 'threw'
        }
        return true
      }
      const sent = outgoing(endless())
      expect(await within('the abort', 5_000, world.a.transport.sendSnapshot(n2, sent, abort.signal))).toBe(false)
      await until('the receiver learns of it', () => outcome !== undefined)
      expect(outcome).toBe('threw')
    })

    it('fails a snapshot whose source fails, at both ends', async () => {
      let outcome: string | undefined
      const seen = Promise.withResolvers<void>()
      world.b.onSnapshot = async snapshot => {
        try {
          for await (const _ of snapshot.chunks) seen.resolve()
          outcome = 'whole'
        } catch {
          outcome = 'threw'
        }
        return true
      }
      async function* broken(): AsyncGenerator<Uint8Array, undefined> {
        yield Buffer.alloc(1000)
        await seen.promise
        throw new Error('the engine is closed')
      }
      const sent = world.a.transport.sendSnapshot(n2, outgoing(broken()), AbortSignal.timeout(10_000))
      expect(await within('the failure', 5_000, sent)).toBe(false)
      await until('the receiver learns of it', () => outcome !== undefined)
      expect(outcome).toBe('threw')
    })

    it('reads a snapshot no faster than its receiver takes it', async () => {
      let produced = 0
      async function* counted(): AsyncGenerator<Uint8Array, undefined> {
        for (let i = 0; i < 200; i++) {
          produced += 1
          yield Buffer.alloc(256 << 10, i)
        }
        return undefined
      }
      const gate = Promise.withResolvers<void>()
      let consumed = 0
      world.b.onSnapshot = async snapshot => {
        for await (const _ of snapshot.chunks) {
          consumed += 1
          if (consumed === 1) await gate.promise
        }
        return true
      }
      const sent = world.a.transport.sendSnapshot(n2, outgoing(counted()), AbortSignal.timeout(20_000))
      await until('the first chunk is there', () => consumed === 1)
      // However long it takes now: production comes to rest far below the whole 50 MiB.
      await restsAt(() => produced)
      expect(produced).toBeLessThan(100)
      gate.resolve()
      expect(await sent).toBe(true)
      expect(consumed).toBe(200)
    })

    it('delivers nothing, and reports nothing, once closed', async () => {
      await connected(world)
      await world.b.transport.close()
      const before = world.b.received.length
      for (let i = 0; i < 10; i++) world.a.transport.send(n2, 'control', heartbeat(i))
      await until('n1 notices', () => world.a.unreachable.length > 0)
      expect(world.b.received.length).toBe(before)
      await world.a.transport.close()
      const reports = world.a.unreachable.length
      world.a.transport.send(n2, 'control', heartbeat(1))
      await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
      expect(world.a.unreachable.length).toBe(reports)
    })
  })
}

/** A message gets through from n1 to n2: heartbeats are repeated, as Raft's are. */
export async function connected(world: Pick<ContractWorld, 'a' | 'b'>, limitMs = 20_000): Promise<void> {
  const before = world.b.received.length
  const arrives = (): boolean => {
    world.a.transport.send(n2, 'control', heartbeat(0))
    return world.b.received.length > before
  }
  await until('n1 reaches n2', arrives, { limitMs, intervalMs: 10 })
  let count = -1
  const settled = (): boolean => {
    const rest = count === world.b.received.length
    count = world.b.received.length
    return rest
  }
  await until('all of them are there', settled, { intervalMs: 50 })
}

async function restsAt(count: () => number): Promise<void> {
  let last = -1
  let since = performance.now()
  await until(
    'it comes to rest',
    () => {
      if (count() !== last) since = performance.now()
      last = count()
      return performance.now() - since > electionTimeoutMs
    },
    { intervalMs: 20 },
  )
}

async function* endless(): AsyncGenerator<Uint8Array, undefined> {
  for (;;) yield Buffer.alloc(64 << 10)
}

function peerAddressOf(world: ContractWorld): string {
  const transport = world.a.transport as Transport & { addressOf?: (node: NodeId) => { peerAddress: string } }
  return transport.addressOf?.(n2).peerAddress ?? 'memory'
}

/** Buffers and Uint8Arrays of the same bytes are the same here. */
function plain(messages: readonly RangeMessage['message'][]): unknown {
  return JSON.parse(
    JSON.stringify(messages, (_key, value: unknown) => (value instanceof Uint8Array ? [...value] : fromBuffer(value))),
  )
}

function fromBuffer(value: unknown): unknown {
  const isBuffer = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
  return isBuffer ? (value as unknown as { data: number[] }).data : value
}
