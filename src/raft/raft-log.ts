// The log as the core sees it: the durable log's view, and behind it the entries not yet handed over in a Ready. Keeps
// the indexes that everything hangs on:  applied <= handed out <= commit <= last,  handed out <= durable.
// Only what is committed *and* durable here is handed out to be applied (DESIGN.md 7): applied never passes the disk.

import { assert } from '../base/assert.ts'
import { asIndex, asTerm, type Index, type Term } from '../base/ids.ts'
import type { Entry, LogView, SnapshotMeta } from './types.ts'
import { Unapplied } from './unapplied.ts'
import { Unstable } from './unstable.ts'

const noEntries: readonly Entry[] = []
/** Bytes of committed entries that one Ready hands out, at least one entry: the next Ready has the rest. */
const committedBytesMax = 4 << 20

export class RaftLog {
  readonly #view: LogView
  readonly #unstable: Unstable
  /** Not yet handed over; contiguous. The first may stand where the view still shows a suffix that goes. */
  #pending: Entry[] = []
  /** The newest snapshot accepted. It outlives its Ready: installing takes a while, and until then the view shows the old log. */
  #snapshot: SnapshotMeta | undefined
  #isSnapshotPending = false
  /** The last index handed over that still stands. */
  #handedOver: Index
  #commit: Index
  #handedOut: Index
  #applied: Index
  #unapplied: Unapplied
  readonly #applyingBytesMax: number
  /** So much is handed out that no more is, until half of it is applied: a Ready with one entry each would cost more. */
  #isApplyingFull = false
  /** Configuration entries in the log above applied, ascending: almost always none or one. */
  #configurations: Index[] = []

  constructor(view: LogView, commit: Index, applied: Index, applyingBytesMax: number) {
    assert(commit <= view.lastIndex, `commit never passes the last index: ${commit} > ${view.lastIndex}`)
    assert(applied <= commit, `applied <= commit: ${applied} > ${commit}`)
    assert(applied >= view.truncatedIndex, `what was truncated is applied: ${view.truncatedIndex} > ${applied}`)
    this.#view = view
    this.#unstable = new Unstable(view.lastIndex)
    this.#handedOver = view.lastIndex
    this.#commit = commit
    this.#handedOut = applied
    this.#applied = applied
    this.#unapplied = new Unapplied(applied)
    this.#applyingBytesMax = applyingBytesMax
    for (let next = asIndex(applied + 1); next <= view.lastIndex; ) {
      const entries = view.entries(next, asIndex(view.lastIndex + 1), 1 << 20)
      assert(entries.length > 0, 'a read of the log answers at least one entry')
      this.#note(entries)
      next = asIndex(next + entries.length)
    }
    this.#unapplied.commitTo(commit)
  }

  get lastIndex(): Index {
    return this.#pending.at(-1)?.index ?? this.#handedOver
  }

  get lastTerm(): Term {
    return this.#pending.at(-1)?.term ?? this.mustTerm(this.#handedOver)
  }

  get truncatedIndex(): Index {
    return asIndex(Math.max(this.#view.truncatedIndex, this.#snapshot?.index ?? 0))
  }

  get commit(): Index {
    return this.#commit
  }

  get applied(): Index {
    return this.#applied
  }

  get durable(): Index {
    return this.#unstable.durable
  }

  get hasUnreported(): boolean {
    return this.#unstable.hasUnreported
  }

  /** Accepted, and not yet handed over. */
  get isSnapshotPending(): boolean {
    return this.#isSnapshotPending
  }

  get hasPending(): boolean {
    return this.#pending.length > 0 || this.#isSnapshotPending
  }

  /** A configuration entry that may take force and has not: only one may be so at a time. */
  get hasUnappliedConfiguration(): boolean {
    return this.#configurations.length > 0
  }

  /** It is committed: a majority may already act by a configuration that is not known here. */
  get hasCommittedUnappliedConfiguration(): boolean {
    const first = this.#configurations[0]
    return first !== undefined && first <= this.#commit
  }

  /** undefined: truncated, or past the end. */
  term(index: Index): Term | undefined {
    const firstPending = this.#pending[0]?.index
    if (firstPending !== undefined && index >= firstPending) return this.#pending[index - firstPending]?.term
    if (index > this.#handedOver) return undefined
    if (index === 0 && this.truncatedIndex === 0) return asTerm(0)
    const snapshot = this.#snapshot
    if (snapshot !== undefined && snapshot.index > this.#view.truncatedIndex && index <= snapshot.index) {
      return index === snapshot.index ? snapshot.term : undefined
    }
    return this.#view.term(index)
  }

  mustTerm(index: Index): Term {
    const term = this.term(index)
    assert(term !== undefined, `the term of index ${index} is known`)
    return term
  }

  matches(index: Index, term: Term): boolean {
    return this.term(index) === term
  }

  /** Entries from `from`, at least one, as many as fit in `bytesMax`; none past the end. Throws when reading fails. */
  entries(from: Index, bytesMax: number): readonly Entry[] {
    const firstPending = this.#pending[0]?.index ?? asIndex(this.#handedOver + 1)
    if (from < firstPending) return this.#handedOverEntries(from, firstPending, bytesMax)
    if (from > this.lastIndex) return noEntries
    const start = from - firstPending
    let end = start
    for (let bytes = 0; end < this.#pending.length; end++) {
      bytes += (this.#pending[end] as Entry).data.length
      if (bytes > bytesMax && end > start) break
    }
    return this.#pending.slice(start, end)
  }

  #handedOverEntries(from: Index, toExclusive: Index, bytesMax: number): readonly Entry[] {
    const entries = this.#view.entries(from, toExclusive, bytesMax)
    const last = entries.at(-1)
    assert(entries[0]?.index === from, 'a read of the log begins with the entry asked for')
    assert(last !== undefined && last.index === from + entries.length - 1 && last.index < toExclusive, 'it has no gap')
    return entries
  }

  /** Appends; an overlap overwrites everything from its first index on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0]
    if (first === undefined) return
    assert(
      first.index > this.#commit,
      `nothing at or below commit is ever truncated: ${first.index} <= ${this.#commit}`,
    )
    assert(first.index <= this.lastIndex + 1, `the log has no gap: ${first.index} after ${this.lastIndex}`)
    if (first.index <= this.lastIndex) this.#truncateFrom(first.index)
    if (this.#pending.length === 0) this.#pending = [...entries]
    else for (const entry of entries) this.#pending.push(entry)
    this.#note(entries)
  }

  #truncateFrom(index: Index): void {
    const firstPending = this.#pending[0]?.index ?? asIndex(this.#handedOver + 1)
    this.#pending.length = Math.max(0, Math.min(this.#pending.length, index - firstPending))
    if (index <= this.#handedOver) {
      this.#handedOver = asIndex(index - 1)
      this.#unstable.truncatedFrom(index)
    }
    while ((this.#configurations.at(-1) ?? 0) >= index) this.#configurations.pop()
    this.#unapplied.truncateFrom(index)
  }

  #note(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#unapplied.append(entry.data.length)
      if (entry.kind === 'configuration') this.#configurations.push(entry.index)
    }
  }

  /** The largest index at or below `index` whose term is at most `term`: the logs cannot match above it. */
  lastIndexOfTermAtMost(index: Index, term: Term): Index {
    for (let at = index; at > 0; at = asIndex(at - 1)) {
      const termAt = this.term(at)
      if (termAt === undefined || termAt <= term) return at
    }
    return asIndex(0)
  }

  /** Is a log that ends in (index, term) at least as up-to-date as this one (paper 5.4.1)? */
  isUpToDate(index: Index, term: Term): boolean {
    const lastTerm = this.lastTerm
    return term > lastTerm || (term === lastTerm && index >= this.lastIndex)
  }

  commitTo(index: Index): void {
    if (index <= this.#commit) return
    assert(index <= this.lastIndex, `commit never passes the last index: ${index} > ${this.lastIndex}`)
    this.#commit = index
    this.#unapplied.commitTo(index)
  }

  appliedTo(index: Index): void {
    assert(index <= this.#handedOut, `only what was handed out is applied: ${index} > ${this.#handedOut}`)
    assert(index >= this.#applied, `applied never goes back: ${index} < ${this.#applied}`)
    this.#applied = index
    this.#unapplied.appliedTo(index)
    if (this.#unapplied.handedOutBytes * 2 <= this.#applyingBytesMax) this.#isApplyingFull = false
    while ((this.#configurations[0] ?? index + 1) <= index) this.#configurations.shift()
  }

  durableTo(index: Index, term: Term): void {
    // Reports on the log that a snapshot is about to replace say nothing of the new one.
    const last = this.#isSnapshotPending ? this.#unstable.durable : this.#handedOver
    this.#unstable.durableTo(index, term, last)
  }

  /** Committed and not applied: on disk all of it, in memory what was handed out. */
  get unappliedBytes(): number {
    return this.#unapplied.committedBytes
  }

  get hasNextCommitted(): boolean {
    return !this.#isApplyingFull && this.#handedOut < this.#commit && this.#handedOut < this.#unstable.durable
  }

  /** What may be applied next; `handOut` says that it was taken. */
  nextCommitted(): readonly Entry[] {
    if (!this.hasNextCommitted || this.#isSnapshotPending) return noEntries
    const until = Math.min(this.#commit, this.#unstable.durable)
    return this.#handedOverEntries(
      asIndex(this.#handedOut + 1),
      asIndex(until + 1),
      Math.min(committedBytesMax, this.#applyingBytesMax),
    )
  }

  handOut(entries: readonly Entry[]): void {
    const last = entries.at(-1)
    if (last === undefined) return
    this.#handedOut = last.index
    this.#unapplied.handOutTo(last.index)
    this.#isApplyingFull = this.#unapplied.handedOutBytes >= this.#applyingBytesMax
  }

  /** The state and the log begin anew after `snapshot`; all entries go, for none of them is known to match. */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.#commit, `a snapshot never goes back: ${snapshot.index} <= ${this.#commit}`)
    this.#pending = []
    this.#snapshot = snapshot
    this.#isSnapshotPending = true
    this.#handedOver = snapshot.index
    this.#unstable.truncatedFrom(asIndex(1))
    this.#commit = snapshot.index
    this.#configurations = []
    this.#unapplied = new Unapplied(snapshot.index)
    this.#isApplyingFull = false
  }

  takeSnapshot(coreTerm: Term): SnapshotMeta | undefined {
    const snapshot = this.#snapshot
    if (snapshot === undefined || !this.#isSnapshotPending) return undefined
    this.#isSnapshotPending = false
    this.#handedOut = snapshot.index
    this.#unstable.handedOver(asIndex(1), snapshot.index, snapshot.term, coreTerm)
    return snapshot
  }

  /** What goes to the durable log, while the core is in `coreTerm`. */
  takePending(coreTerm: Term): readonly Entry[] {
    assert(!this.#isSnapshotPending || this.#pending.length === 0, 'a snapshot is handed over alone')
    const entries = this.#pending
    const last = entries.at(-1)
    if (last === undefined) return noEntries
    this.#pending = []
    this.#unstable.handedOver((entries[0] as Entry).index, last.index, last.term, coreTerm)
    this.#handedOver = last.index
    return entries
  }
}
