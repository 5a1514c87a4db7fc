// What a mutant is: one known bug, put into a copy of the sources by replacing text, and who must notice it. Data only.

import type { FaultKind } from '../faults.ts'
import type { SimOptions } from '../options.ts'

export interface Edit {
  readonly file: string
  /** Stands in the file exactly once. */
  readonly find: string
  readonly replace: string
}

/** Names a test file, and with `name` one test or group of it. */
export interface CaughtByUnit {
  readonly kind: 'unit'
  readonly test: string
  readonly name?: string
}

export interface CaughtBySim {
  readonly kind: 'sim'
  /** One that catches it, as the code was when it was written down. */
  readonly seed: number
  readonly kinds?: readonly FaultKind[]
  readonly overrides?: Partial<SimOptions>
}

export interface Mutant {
  readonly name: string
  /** Of the list of known bugs. */
  readonly rows: readonly number[]
  /** What is wrong with it, in one sentence. */
  readonly does: string
  readonly edits: readonly Edit[]
  readonly caughtBy: CaughtByUnit | CaughtBySim
}

/** Rows that no mutant can stand for. */
export interface Unapplied {
  /** 0 stands for the row without a number, on quiesced ranges. */
  readonly rows: readonly number[]
  readonly why: string
}
