// What processes, and the disk under them, have done so far, as the kernel counts it.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'

export interface Usage {
  readonly cpuMicros: number
  readonly residentMib: number
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** undefined: the process has ended. */
export function usageOf(pid: number): Usage | undefined {
  if (!existsSync(`/proc/${pid}/stat`)) return undefined
  // The name in the second field may hold blanks and brackets; what follows the last bracket does not.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    cpuMicros: (ticks * 1_000_000) / ticksPerSecond,
    residentMib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024,
  }
}

/**
 * Bytes written to the block device under `folder`, whoever wrote them; NaN where no single one is. Not /proc/<pid>/io: where
 * the page cache holds files in large folios (ext4 since Linux 6.16), it counts a whole folio for each byte that is written in
 * it (measured: 800 KiB for a put of 256 bytes, of which 20 KiB went to the disk).
 */
export function diskWrittenBytes(folder: string): number {
  const { dev } = statSync(folder)
  // As in the C library: minor numbers above 255 stand apart.
  const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`
  const file = `/sys/dev/block/${device}/stat`
  if (!existsSync(file)) return Number.NaN
  return Number(readFileSync(file, 'utf8').trim().split(/\s+/)[sectorsWrittenField]) * sectorBytes
}

const sectorsWrittenField = 6
const sectorBytes = 512
