import { describe, expect, it } from 'vitest'
import { asTimestamp } from '../../src/time/timestamp.ts'
import { HistoryCollector } from '../../src/range/history-collector.ts'
import type { Replica } from '../../src/range/replica.ts'
import type { Store } from '../../src/range/store.ts'

/** What one run of the collector does when a flush ends like `flush`. */
async function collected(flush: (replica: object) => Promise<void>, retentionMs = 10): Promise<string[]> {
  const done: string[] = []
  let fire = (): void => {}
  const replica: Partial<Replica> = {
    maybeProposeThreshold: () => true,
    isInstalling: false,
    stopped: undefined,
    state: { threshold: asTimestamp(7) } as Replica['state'],
  }
  const store: object = {
    clock: {
      setTimer: (ms: number, run: () => void) => {
        done.push(`after ${ms} ms`)
        fire = run
        return { cancel: () => {} }
      },
    },
    hybridClock: { raw: () => asTimestamp(1_000_000) },
    replicas: () => [replica],
    flush: () => {
      done.push('flush')
      return flush(replica)
    },
    versions: { collect: async (threshold: number) => void done.push(`collect ${threshold}`) },
    logger: { debug: () => {} },
  }
  const collector = new HistoryCollector(store as Store, retentionMs)
  const ended = new Promise<void>(resolve => {
    const { clock } = store as Store
    Object.assign(store, {
      onFatal: (error: unknown) => {
        done.push(`fatal: ${String(error)}`)
        resolve()
      },
    })
    collector.start()
    // It sets its timer again when it is done.
    clock.setTimer = () => {
      resolve()
      return { cancel: () => {} }
    }
  })
  fire()
  await ended
  collector.close()
  return done
}

describe('history', () => {
  it('is collected once the threshold that refuses its readers is on disk', async () => {
    expect(await collected(async () => {})).toEqual(['after 10000 ms', 'flush', 'collect 7'])
  })

  it('is collected the more seldom the longer it is kept, and once a minute at least', async () => {
    for (const [retentionMs, everyMs] of [
      [0, 10_000],
      [300_000, 30_000],
      [86_400_000, 60_000],
    ] as const)
      expect((await collected(async () => {}, retentionMs))[0]).toBe(`after ${everyMs} ms`)
  })

  // An entry was applied by half: the replica is quarantined, what is stored of it is void, and its node goes on.
  it('stays when its replica stops while the engine is flushed', async () => {
    expect(await collected(async replica => void Object.assign(replica, { stopped: { kind: 'no-replica' } }))).toEqual([
      'after 10000 ms',
      'flush',
    ])
  })
})
