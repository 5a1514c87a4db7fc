// `make bench-uncached`: beside etcd, with KEYS=10000000 keys and our caches a hundredth of them, so that an overwrite meets a
// key that nobody has touched for long, and a get reads the engine. ROUNDS, SECONDS: other lengths. Filling takes most of it.

import { numberOf } from '../support/environment.ts'
import { EtcdCluster } from './etcd-cluster.ts'
import { startQuorate } from './quorate-peer.ts'
import { barsMissed, rowTable } from './report.ts'
import { sideBySide } from './side-by-side.ts'
import { type Work, valueBytesUsual } from './work.ts'

const keys = numberOf('KEYS', 10_000_000, 10_000)
const settings = { rounds: numberOf('ROUNDS', 5, 1), seconds: numberOf('SECONDS', 10, 1), warmupSeconds: 2 }
/** The two caches of a node together hold a hundredth of what is stored. */
const cacheBytes = Math.max(1024 * 1024, Math.ceil((keys * valueBytesUsual) / 100 / 2))

const usual = { callers: 256, valueBytes: valueBytesUsual, keys, scanKeys: 0, isQuick: false }
const works: readonly Work[] = [
  { ...usual, kind: 'put', ratioMin: 2.5 },
  { ...usual, kind: 'get', ratioMin: 7 },
]

const etcd = await EtcdCluster.start()
try {
  const set = [`rowCacheBytes=${cacheBytes}`, `blockCacheBytes=${cacheBytes}`]
  const ours = await startQuorate({ flags: set.flatMap(limit => ['--set', limit]) })
  try {
    const rows = await sideBySide([ours, etcd], works, settings)
    console.log(rowTable(rows))
    console.log(`${keys} keys; medians of ${settings.rounds} rounds of ${settings.seconds} s`)
    for (const missed of barsMissed(rows)) console.log(`short of its bar: ${missed}`)
  } finally {
    await ours.close()
  }
} finally {
  await etcd.close()
}
