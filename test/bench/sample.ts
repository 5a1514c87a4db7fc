// What a round gives, and what many rounds come to.

export interface Sample {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  /** The longest time between two successes of whichever callers. */
  readonly gapMs: number
  readonly errors: number
  /** Microseconds of CPU an operation, by process: the load and each server. */
  readonly cpuMicros: Readonly<Record<string, number>>
  /** Mebibytes resident at the end, by process. */
  readonly residentMib: Readonly<Record<string, number>>
  /** Bytes that reached the disk, for each byte of keys and values that was written. 0: nothing was. NaN: no one disk holds the data. */
  readonly writeFactor: number
}

export interface Ratio {
  readonly median: number
  readonly least: number
  readonly most: number
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** Of each figure the median over the rounds; errors are added up. */
export function summarise(samples: readonly Sample[]): Sample {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick))
  const byProcess = (pick: (sample: Sample) => Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(Object.keys(pick(samples[0]!)).map(name => [name, of(sample => pick(sample)[name] ?? 0)]))
  return {
    perSecond: of(sample => sample.perSecond),
    p50Ms: of(sample => sample.p50Ms),
    p99Ms: of(sample => sample.p99Ms),
    p999Ms: of(sample => sample.p999Ms),
    gapMs: of(sample => sample.gapMs),
    errors: samples.reduce((sum, sample) => sum + sample.errors, 0),
    cpuMicros: byProcess(sample => sample.cpuMicros),
    residentMib: byProcess(sample => sample.residentMib),
    writeFactor: of(sample => sample.writeFactor),
  }
}

/** Round by round: both sides of a ratio met the same mood of the machine. */
export function ratioOf(ours: readonly Sample[], theirs: readonly Sample[], pick: (sample: Sample) => number): Ratio {
  const ratios = ours.map((sample, round) => pick(sample) / pick(theirs[round] ?? sample))
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) }
}
