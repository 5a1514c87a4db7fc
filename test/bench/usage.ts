// What processes have used so far, as the kernel counts it.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Usage {
  readonly cpuMicros: number
  readonly residentMib: number
  /** Bytes that went to the disk. */
  readonly writtenBytes: number
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Reads /proc of a process that runs. */
export function usageOf(pid: number): Usage {
  // The name in the second field may hold blanks and brackets; what follows the last bracket does not.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const io = readFileSync(`/proc/${pid}/io`, 'utf8')
  return {
    cpuMicros: (ticks * 1_000_000) / ticksPerSecond,
    residentMib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? Number.NaN),
  }
}
