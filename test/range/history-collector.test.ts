import { describe, expect, it } from 'vitest'
import { asTimestamp } from '../../src/time/timestamp.ts'
import { HistoryCollector } from '../../src/range/history-collector.ts'
import type { Replica } from '../../src/range/replica.ts'
import type { Store } from '../../src/range/store.ts'

describe('history', () => {
  it('is collected once the threshold that refuses its readers is on disk', async () => {
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
        setTimer: (_ms: number, run: () => void) => {
          fire = run
          return { cancel: () => {} }
        },
      },
      hybridClock: { raw: () => asTimestamp(1_000_000) },
      replicas: () => [replica],
      flush: async () => void done.push('flush'),
      versions: { collect: async (threshold: number) => void done.push(`collect ${threshold}`) },
      logger: { debug: () => {} },
      onFatal: (error: unknown) => void done.push(String(error)),
    }
    const collector = new HistoryCollector(store as Store, 10)
    const started = new Promise<void>(resolve => {
      const { clock } = store as Store
      const { setTimer } = clock
      collector.start()
      // It sets its timer again when it is done.
      clock.setTimer = (ms, run) => {
        resolve()
        return setTimer(ms, run)
      }
    })
    fire()
    await started
    collector.close()
    expect(done).toEqual(['flush', 'collect 7'])
  })
})
