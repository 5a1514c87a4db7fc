// A checksum over every row of a view: what all replicas agree on, and nothing of this node alone. A row that has vanished from
// the engine, which no checksum of what is there can show, shows in this one.

import { createHash } from 'node:crypto'
import type { Timestamp } from '../time/timestamp.ts'
import type { ReadView } from './read-view.ts'
import type { Version } from './version.ts'

/** Between two slices everything else gets its turn. */
const sliceRows = 200
const sliceBytes = 256 * 1024
const headBytes = 4 + 1 + 3 * 8

/** Tombstones below `threshold` do not count: each replica collects them when it likes. Closes the views. Throws DamageError. */
export async function digestRows(
  views: readonly ReadView[],
  threshold: Timestamp,
  yieldNow: () => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256')
  const head = Buffer.alloc(headBytes)
  const add = ({ row, deleted, timestamp, created, version, record, valueOffset }: Version): number => {
    head.writeUInt32BE(row.length, 0)
    head[4] = deleted ? 1 : 0
    head.writeDoubleBE(timestamp, 5)
    head.writeDoubleBE(created, 13)
    head.writeDoubleBE(version, 21)
    const value = record.subarray(valueOffset)
    hash.update(head).update(row, 'latin1').update(value)
    return headBytes + row.length + value.length
  }
  try {
    for (const view of views) {
      let rows = 0
      let bytes = 0
      for (;;) {
        if (view.needsFill) await view.fill()
        const version = view.next()
        if (version === undefined) break
        if (!version.deleted || version.timestamp >= threshold) bytes += add(version)
        if (++rows < sliceRows && bytes < sliceBytes) continue
        rows = 0
        bytes = 0
        await yieldNow()
      }
    }
  } finally {
    for (const view of views) await view.close()
  }
  return hash.digest('hex')
}
