// The rows of a write buffer in the order of their names, for scans: taken in as they come, some at a time, so that no scan
// has to sort all that was written since the last flush. What was handed out stays as it was.

/** Rows by name; `order` holds their positions in `names` and `places`, and the rows of a span stand at [from, to) of it. */
export interface BufferedRows {
  readonly names: readonly string[]
  readonly order: Uint32Array
  readonly places: Uint32Array
  readonly from: number
  readonly to: number
}

export const noRows: BufferedRows = {
  names: [],
  order: new Uint32Array(0),
  places: new Uint32Array(0),
  from: 0,
  to: 0,
}

export class RowOrder {
  /** By position. */
  readonly names: string[] = []
  #order = new Uint32Array(0)

  /** Replaced whenever rows are added, never changed. */
  get order(): Uint32Array {
    return this.#order
  }

  /** The rows of the next positions. A few cost little, however many are here: what lies between them is copied in blocks. */
  add(names: readonly string[]): void {
    const added = names.map((_, at) => this.names.length + at)
    for (const name of names) this.names.push(name)
    added.sort((a, b) => ((this.names[a] ?? '') < (this.names[b] ?? '') ? -1 : 1))
    const before = this.#order
    const order = new Uint32Array(before.length + added.length)
    let from = 0
    let to = 0
    for (const position of added) {
      const at = this.#find(before, from, this.names[position] ?? '')
      order.set(before.subarray(from, at), to)
      to += at - from
      from = at
      order[to++] = position
    }
    order.set(before.subarray(from), to)
    this.#order = order
  }

  /** Where in `order` the first row at or after `row` stands. */
  firstAtOrAfter(row: string): number {
    return this.#find(this.#order, 0, row)
  }

  #find(order: Uint32Array, from: number, row: string): number {
    let low = from
    let high = order.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.names[order[middle] ?? 0] ?? '') < row) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** What waits to be put in order: a write buffer. */
interface Unordered {
  readonly unordered: number
  orderSome(rowsMax: number): void
}

/** Rows that are put in order at once, in a few milliseconds. */
const rowsPerTurn = 2_048

/** Too many rows were written since the last scan to put them in order in the turn of the next one. */
export function mustOrder(...buffers: readonly (Unordered | undefined)[]): boolean {
  return buffers.reduce((sum, buffer) => sum + (buffer?.unordered ?? 0), 0) > rowsPerTurn
}

/** Puts rows in order a part at a time, for all scans that wait together. */
export class OrderTurns {
  readonly #yieldNow: () => Promise<void>
  #turn: Promise<void> | undefined

  constructor(yieldNow: () => Promise<void>) {
    this.#yieldNow = yieldNow
  }

  /** Resolves when a part more is in order, and others have had their turn. */
  next(...buffers: readonly (Unordered | undefined)[]): Promise<void> {
    return (this.#turn ??= this.#order(buffers))
  }

  async #order(buffers: readonly (Unordered | undefined)[]): Promise<void> {
    for (const buffer of buffers) buffer?.orderSome(rowsPerTurn)
    await this.#yieldNow()
    this.#turn = undefined
  }
}
