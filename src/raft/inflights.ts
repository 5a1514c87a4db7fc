// The window of appends sent to one follower and not yet acknowledged, bounded in messages and in bytes. A ring that
// grows to its limit once and is reused.

import { assert } from '../base/assert.ts'
import type { Index } from '../base/ids.ts'

export class Inflights {
  readonly #messagesMax: number
  readonly #bytesMax: number
  /** The last index and the bytes of each append, in the order sent, from #start on. */
  readonly #lastIndexes: number[] = []
  readonly #sizes: number[] = []
  #start = 0
  #count = 0
  #bytes = 0

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#count
  }

  /** One append may pass the limit in bytes, so that an entry larger than the window still goes. */
  get isFull(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax
  }

  add(lastIndex: Index, bytes: number): void {
    assert(!this.isFull, 'an append is sent only while the in-flight window has room')
    const slot = (this.#start + this.#count) % this.#messagesMax
    this.#lastIndexes[slot] = lastIndex
    this.#sizes[slot] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Frees the appends that end at or below `index`. */
  freeTo(index: Index): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number
      this.#start = (this.#start + 1) % this.#messagesMax
      this.#count--
    }
  }

  clear(): void {
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }
}
