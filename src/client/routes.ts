// Which nodes there are, where they answer, who leads, and who failed lately. Pure state: it calls nobody.
//
// An address that the caller gave wins over the one that its node advertises: a proxy or a port mapping may stand
// between, and the caller knows.

interface NodeRoute {
  readonly address: string
  /** Monotonic milliseconds until which others are preferred. */
  suspectUntilMs: number
  failures: number
}

export interface LeaderClaim {
  /** Who says so. */
  readonly node?: string | null
  readonly leader?: string | null
}

const suspectMs = 250
const suspectMsMax = 2000

export class Routes {
  /** By address; seeds first. */
  readonly #nodes = new Map<string, NodeRoute>()
  readonly #seeds: ReadonlySet<string>
  readonly #addressOf = new Map<string, string>()
  #leader = ''
  #turn: number

  /** `turn`: where to begin, so that many clients do not all begin with the same node. */
  constructor(seeds: readonly string[], turn: number) {
    this.#seeds = new Set(seeds)
    for (const seed of seeds) this.#add(seed)
    this.#turn = turn
  }

  get addresses(): readonly string[] {
    return [...this.#nodes.keys()]
  }

  /** The leader's name; empty when unknown. */
  get leader(): string {
    return this.#leader
  }

  /** undefined when unknown, or when its address is. */
  get leaderAddress(): string | undefined {
    return this.#addressOf.get(this.#leader)
  }

  /** Where the node named `name` answers. */
  addressOf(name: string): string | undefined {
    return this.#addressOf.get(name)
  }

  /** The leader's name, when `address` is where it answers. */
  leaderAt(address: string): string | undefined {
    return this.leaderAddress === address ? this.#leader : undefined
  }

  #add(address: string): void {
    if (!this.#nodes.has(address)) this.#nodes.set(address, { address, suspectUntilMs: 0, failures: 0 })
  }

  /** `name` itself answered at `address`. */
  answeredBy(name: string, address: string): void {
    const node = this.#nodes.get(address)
    if (node !== undefined) {
      node.failures = 0
      node.suspectUntilMs = 0
    }
    if (name !== '' && (this.#seeds.has(address) || !this.#addressOf.has(name))) this.#addressOf.set(name, address)
  }

  /** A node record or an error says where `name` answers. */
  learn(name: string, address: string): void {
    if (address === '') return
    const known = name === '' ? undefined : this.#addressOf.get(name)
    if (known !== undefined && this.#seeds.has(known)) return
    if (known !== undefined && known !== address && !this.#seeds.has(known)) this.#nodes.delete(known)
    this.#add(address)
    if (name !== '') this.#addressOf.set(name, address)
  }

  leaderTo(name: string): void {
    this.#leader = name
  }

  /**
   * An answer names a leader; whether that changed anything. A node that is cut off goes on naming the old one, so
   * while a leader is known and answers, only it, or who claims to lead, is believed.
   */
  maybeLeaderIs(claim: LeaderClaim, address: string, nowMs: number): boolean {
    const name = claim.leader ?? ''
    if (name === '' || name === this.#leader) return false
    const known = this.leaderAddress
    const isKnownGood = known !== undefined && (this.#nodes.get(known)?.suspectUntilMs ?? 0) <= nowMs
    if (isKnownGood && address !== known && claim.node !== name) return false
    this.#leader = name
    return true
  }

  /** `address` did not answer. */
  failed(address: string, nowMs: number): void {
    const node = this.#nodes.get(address)
    if (node === undefined) return
    node.suspectUntilMs = nowMs + Math.min(suspectMsMax, suspectMs * 2 ** node.failures)
    node.failures = Math.min(node.failures + 1, 10)
    this.forgetLeader(address)
  }

  /** `address` answered, but cannot serve just now: a leader without its quorum, or a node that drains. */
  cannotServe(address: string, nowMs: number): void {
    const node = this.#nodes.get(address)
    if (node !== undefined) node.suspectUntilMs = nowMs + suspectMs
    this.forgetLeader(address)
  }

  /** `address` does not lead. */
  forgetLeader(address: string): void {
    if (this.leaderAddress === address) this.#leader = ''
  }

  /** The leader where it is known and not suspect, else another: see `pickAny`. */
  pickLeader(nowMs: number, isPreferred?: (address: string) => boolean): string {
    const address = this.leaderAddress
    if (address !== undefined) {
      const node = this.#nodes.get(address)
      if (node === undefined || node.suspectUntilMs <= nowMs) return address
    }
    return this.pickAny(nowMs, isPreferred)
  }

  /** The next node in turn that is not suspect, best one that is preferred; when all are, the one that was so first. */
  pickAny(nowMs: number, isPreferred?: (address: string) => boolean): string {
    const [first = ''] = this.inTurn(nowMs, isPreferred)
    this.#turn = [...this.#nodes.keys()].indexOf(first)
    return first
  }

  /** All of them, from the next in turn on: the preferred ones first, then others, and those that are suspect last. */
  inTurn(nowMs: number, isPreferred: (address: string) => boolean = () => true): string[] {
    const nodes = [...this.#nodes.values()]
    const rotated = nodes.map((_, step) => nodes[(this.#turn + 1 + step) % nodes.length] as NodeRoute)
    const healthy = rotated.filter(node => node.suspectUntilMs <= nowMs)
    const suspect = rotated.filter(node => node.suspectUntilMs > nowMs)
    return [
      ...healthy.filter(node => isPreferred(node.address)),
      ...healthy.filter(node => !isPreferred(node.address)),
      ...suspect.sort((a, b) => a.suspectUntilMs - b.suspectUntilMs),
    ].map(node => node.address)
  }
}
