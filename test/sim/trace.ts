// What happened in a run: always a hash over all of it, and lines to read when somebody wants them.

export class Trace {
  readonly #print: ((line: string) => void) | undefined
  #hash = 0x811c9dc5
  #events = 0

  /** `print`: told every line; without it only the hash is kept. */
  constructor(print?: (line: string) => void) {
    this.#print = print
  }

  get isReading(): boolean {
    return this.#print !== undefined
  }

  /** 8 hex digits, and how many events they stand for. */
  get digest(): string {
    return `${(this.#hash >>> 0).toString(16).padStart(8, '0')}:${this.#events}`
  }

  /** FNV-1a over numbers, fractions included. */
  mix(...numbers: readonly number[]): void {
    this.#events++
    let hash = this.#hash
    for (const number of numbers) {
      hash = Math.imul(hash ^ (number & 0xffffffff), 0x01000193)
      hash = Math.imul(hash ^ Math.trunc((number % 1) * 0x7fffffff), 0x01000193)
    }
    this.#hash = hash
  }

  text(text: string): void {
    this.#events++
    let hash = this.#hash
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    this.#hash = hash
  }

  /** Part of the hash. */
  line(atMs: number, who: string, what: string): void {
    this.text(what)
    this.note(atMs, who, what)
  }

  /** For readers alone. */
  note(atMs: number, who: string, what: string): void {
    this.#print?.(`${(atMs / 1000).toFixed(6).padStart(11)} ${who.padEnd(4)} ${what}`)
  }
}
