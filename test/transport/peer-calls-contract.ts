// What every PeerCalls owes (src/transport/peer-calls.ts), as tests: those that ask rely on how a call ends.

import { afterEach, describe, expect, it } from 'vitest'
import { KvError } from '../../src/base/errors.ts'
import { type StoreId, asClusterId, asNodeId } from '../../src/base/ids.ts'
import type { PeerHandlers } from '../../src/node-ports.ts'
import type { Identity } from '../../src/transport/transport.ts'
import type { PeerCalls } from '../../src/transport/peer-calls.ts'
import { until } from '../support/until.ts'
import { clusterId, storeOf } from './grpc-world.ts'

/** n1, which asks, and n2, which answers. */
export interface PeerCallsWorld {
  readonly calls: PeerCalls
  readonly address: string
  monotonicMs(): number
  /** Nothing passes any more, either way. */
  swallow(): void
  /** The process of n2 is gone. */
  stop(): Promise<void>
  close(): Promise<void>
}

export interface PeerCallsWorldOptions {
  readonly handlers: Partial<PeerHandlers>
  readonly identity: Partial<Identity>
  /** What n1 believes n2's store to be. */
  readonly storeOfTarget: StoreId
}

const n2 = asNodeId('n2')
const writes = Uint8Array.of(1)
const key = Uint8Array.of(2)
const soonMs = 800
const longMs = 10_000

export function peerCallsContract(
  name: string,
  openWorld: (options: PeerCallsWorldOptions) => Promise<PeerCallsWorld>,
) {
  describe(`${name}, as PeerCalls`, () => {
    const opened: PeerCallsWorld[] = []
    afterEach(async () => {
      for (const world of opened.splice(0)) await world.close()
    })
    async function open(options: Partial<PeerCallsWorldOptions>): Promise<PeerCallsWorld> {
      const world = await openWorld({ handlers: {}, identity: {}, storeOfTarget: storeOf('n2'), ...options })
      opened.push(world)
      return world
    }
    const inMs = (world: PeerCallsWorld, ms: number): number => world.monotonicMs() + ms

    it('brings each answer to its own question, and says how much time is left', async () => {
      const lefts: number[] = []
      const world = await open({
        handlers: {
          forward: async ({ gets, header }) => {
            lefts.push(header?.timeoutMs ?? 0)
            return { items: [{ value: gets?.[0] ?? null }] }
          },
          peerStatus: async () => ({ ranges: [{ id: 4, applied: 17 }] }),
          join: async ({ hello }) => ({ accepted: true, nodes: [{ id: hello?.node ?? '' }] }),
        },
      })
      const deadlineMs = inMs(world, longMs)
      const answers = await Promise.all(
        [1, 2, 3].map(byte => world.calls.forward(n2, { gets: [Uint8Array.of(byte)] }, deadlineMs)),
      )
      expect(answers.map(answer => [...(answer.items?.[0]?.value ?? [])])).toEqual([[1], [2], [3]])
      expect(Math.max(...lefts)).toBeLessThanOrEqual(longMs)
      expect(Math.min(...lefts)).toBeGreaterThan(longMs / 2)
      expect(await world.calls.peerStatus(n2, deadlineMs)).toMatchObject({ ranges: [{ id: 4, applied: 17 }] })
      expect(await world.calls.join(world.address, {}, deadlineMs)).toMatchObject({
        accepted: true,
        nodes: [{ id: 'n1' }],
      })
    })

    it('tells who answers at an address, whoever asks, and that nobody does', async () => {
      const world = await open({ identity: { clusterId: asClusterId('e'.repeat(32)), lineage: [4, 7] } })
      const hello = await world.calls.identify(world.address, inMs(world, longMs))
      expect(hello).toMatchObject({ node: 'n2', lineage: [1] })
      expect(Buffer.from(hello.storeId ?? []).toString('hex')).toBe(storeOf('n2'))
      expect(Buffer.from(hello.clusterId ?? []).toString('hex')).toBe(clusterId)
      world.swallow()
      expect(await codesOf([world.calls.identify(world.address, inMs(world, soonMs))])).toEqual(['unavailable'])
      await world.stop()
      expect(await codesOf([world.calls.identify(world.address, inMs(world, soonMs))])).toEqual(['unavailable'])
    })

    it("brings a forward's error back in its answer, and a join's as a rejection", async () => {
      const full = new KvError('overloaded', 'full', { retryAfterMs: 7 })
      const world = await open({
        handlers: { forward: () => Promise.reject(full), join: () => Promise.reject(new Error('a bug')) },
      })
      const answer = await world.calls.forward(n2, { writes }, inMs(world, longMs))
      expect(answer.error).toMatchObject({ code: 'overloaded', message: 'full', retryAfterMs: 7 })
      const joined = world.calls.join(world.address, {}, inMs(world, longMs))
      await expect(joined).rejects.toMatchObject({ code: 'internal', message: expect.stringMatching(/a bug/) })
    })

    it('does not know what became of a write that was not answered in time; of all else it says: unavailable', async () => {
      let handled = 0
      const never = (): Promise<never> => {
        handled++
        return new Promise(() => {})
      }
      const world = await open({ handlers: { forward: never, peerStatus: never, join: never } })
      const deadlineMs = inMs(world, soonMs)
      const codes = await codesOf([
        world.calls.forward(n2, { writes }, deadlineMs),
        world.calls.forward(n2, { gets: [key] }, deadlineMs),
        world.calls.peerStatus(n2, deadlineMs),
        world.calls.join(world.address, {}, deadlineMs),
      ])
      expect(codes).toEqual(['unknown-outcome', 'unavailable', 'unavailable', 'unavailable'])
      expect(handled).toBe(4)
    })

    it('does not know what became of a write whose answer was lost', async () => {
      let handled = 0
      const world = await open({
        handlers: {
          forward: () => {
            handled++
            if (handled === 2) world.swallow()
            return Promise.resolve({})
          },
        },
      })
      expect(await world.calls.forward(n2, { writes }, inMs(world, longMs))).toBeDefined()
      expect(await codesOf([world.calls.forward(n2, { writes }, inMs(world, soonMs))])).toEqual(['unknown-outcome'])
      expect(handled).toBe(2)
    })

    it('says unavailable, and has not asked, when no time is left, nobody is known, or nobody listens', async () => {
      let handled = 0
      const world = await open({ handlers: { forward: async () => ({ id: ++handled }) } })
      const codes = await codesOf([
        world.calls.forward(n2, { writes }, inMs(world, -1)),
        world.calls.forward(asNodeId('n9'), { writes }, inMs(world, longMs)),
        world.calls.join(world.address, {}, inMs(world, -1)),
      ])
      await world.stop()
      codes.push(...(await codesOf([world.calls.forward(n2, { writes }, inMs(world, soonMs))])))
      codes.push(...(await codesOf([world.calls.join(world.address, {}, inMs(world, soonMs))])))
      expect(codes).toEqual(Array.from({ length: 5 }, () => 'unavailable'))
      expect(handled).toBe(0)
    })

    it('is refused by a node of another cluster, and by another store than the one it means', async () => {
      let handled = 0
      const handlers = { forward: async () => ({ id: ++handled }), join: async () => ({ accepted: ++handled > 0 }) }
      const foreign = await open({ handlers, identity: { clusterId: asClusterId('d'.repeat(32)) } })
      const stale = await open({ handlers, storeOfTarget: storeOf('before') })
      const codes = await codesOf([
        foreign.calls.forward(n2, { writes }, inMs(foreign, longMs)),
        stale.calls.forward(n2, { writes }, inMs(stale, longMs)),
        foreign.calls.join(foreign.address, {}, inMs(foreign, longMs)),
      ])
      expect(codes).toEqual(['unavailable', 'unavailable', 'wrong-cluster'])
      expect(handled).toBe(0)
    })

    it('ends what waits when it is closed, and asks nobody any more', async () => {
      let handled = 0
      const world = await open({
        handlers: {
          forward: () => {
            handled++
            return new Promise(() => {})
          },
          join: async () => ({ accepted: ++handled > 0 }),
        },
      })
      const waiting = codesOf([world.calls.forward(n2, { writes }, inMs(world, longMs))])
      await until('it is being handled', () => handled === 1)
      await world.calls.close()
      expect(await waiting).toEqual(['unknown-outcome'])
      const codes = await codesOf([
        world.calls.forward(n2, { writes }, inMs(world, longMs)),
        world.calls.peerStatus(n2, inMs(world, longMs)),
        world.calls.join(world.address, {}, inMs(world, longMs)),
      ])
      expect(codes).toEqual(['unavailable', 'unavailable', 'unavailable'])
      expect(handled).toBe(1)
    })
  })
}

/** How each ended: the code of its error, or `answered`. */
async function codesOf(calls: readonly Promise<unknown>[]): Promise<string[]> {
  const ends = await Promise.allSettled(calls)
  return ends.map(end => (end.status === 'fulfilled' ? 'answered' : (end.reason as KvError).code))
}
