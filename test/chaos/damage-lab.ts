// Three real nodes in this process. Two of them run all the time and know the truth; the third is started again and again on
// a copy of its data directory that was damaged, and watched: it refuses, or it comes to equal state, whether its replica was
// quarantined and rebuilt by the others on the way or not.
//
// No client writes during trials: going back to the copy takes nothing away that anybody was promised.

import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isKvError } from '../../src/base/errors.ts'
import { createPrng, type Prng } from '../../src/base/prng.ts'
import type { Client } from '../../src/client/client.ts'
import { quorate } from '../../src/proto/quorate.js'
import { LocalNodes } from '../support/local-nodes.ts'
import { NodeClient } from '../support/node-client.ts'
import { until, within } from '../support/until.ts'
import { Truth } from './damage-truth.ts'

export const victim = 'n3'
const prefix = 'damage/'
const keyCount = 240
const rounds = 6
/** A replica that was rebuilt and is quarantined again waits for longer and longer. */
const rebuildsMax = 2
const remedy = /[Ww]ipe the (data )?directory|start the node with an empty one|Give .* with --data|give .* with --data/

/** `rebuilt`: it was quarantined, and its peers rebuilt it, with nobody's help. */
export type Outcome = 'refused' | 'rebuilt' | 'repaired' | 'WRONG'

export interface TrialResult {
  readonly outcome: Outcome
  /** The refusal's message, or what was wrong. */
  readonly detail: string
}

export class DamageLab implements AsyncDisposable {
  readonly nodes: LocalNodes
  readonly truth: Truth
  readonly #client: Client
  /** What the victim said of its quarantines in the trial under way. */
  readonly #quarantines: string[]

  private constructor(nodes: LocalNodes, truth: Truth, client: Client, quarantines: string[]) {
    this.nodes = nodes
    this.truth = truth
    this.#client = client
    this.#quarantines = quarantines
  }

  static async open(seed: number): Promise<DamageLab> {
    // Small segments, and tables from every restart: much to damage in few bytes.
    const set = ['logSegmentBytes=1048576', 'engineFlushMs=50']
    const quarantines: string[] = []
    const onLine = (name: string, line: string): void => {
      if (name === victim && line.includes('this replica is quarantined')) quarantines.push(line.trim())
    }
    const nodes = await LocalNodes.cluster({ size: 3, flags: { set, 'election-timeout': '500' }, onLine })
    try {
      const client = nodes.client()
      const keys = await load(nodes, client, createPrng(seed))
      return new DamageLab(nodes, await Truth.read(client, keys), client, quarantines)
    } catch (error) {
      await nodes[Symbol.asyncDispose]()
      throw error
    }
  }

  get data(): string {
    return this.nodes.dataOf(victim)
  }

  /** The victim's directory as it was when it stopped for good. */
  get whole(): string {
    return join(this.nodes.folder, 'whole')
  }

  /** As it was halfway through the load. */
  get early(): string {
    return join(this.nodes.folder, 'early')
  }

  /** The early one, with a snapshot on its way in (damage-spool.ts). */
  get midway(): string {
    return join(this.nodes.folder, 'midway')
  }

  /** Another node's, from the same moment. */
  get other(): string {
    return join(this.nodes.folder, 'other')
  }

  /** The victim runs on a copy of `from`, damaged by `spoil`. */
  async trial(spoil: (data: string) => void | Promise<void>, from = this.whole): Promise<TrialResult> {
    await this.#changeLeader()
    rmSync(this.data, { recursive: true, force: true })
    cpSync(from, this.data, { recursive: true })
    await spoil(this.data)
    this.#quarantines.length = 0
    try {
      await within('the victim starts or refuses', 20_000, this.nodes.startNode(victim))
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      const isClear = isKvError(error) && remedy.test(detail)
      return { outcome: isClear ? 'refused' : 'WRONG', detail: isClear ? detail : `refused unclearly: ${detail}` }
    }
    try {
      return await this.#watch()
    } finally {
      await this.nodes.stopNode(victim)
    }
  }

  /** What the messages say: an empty directory. The victim joins anew and comes to equal state. */
  async rebuild(): Promise<TrialResult> {
    rmSync(this.data, { recursive: true, force: true })
    await this.nodes.startNode(victim)
    try {
      await this.nodes.allVote()
      return await this.#watch()
    } finally {
      await this.nodes.stopNode(victim)
      // It has a new store id, and the old one may not come back.
      for (const path of [this.whole, this.early]) rmSync(path, { recursive: true, force: true })
      cpSync(this.data, this.whole, { recursive: true })
    }
  }

  /** A leader never takes back what it knows of a follower's log, and the copy's is older; the next one begins anew. */
  async #changeLeader(): Promise<void> {
    const to = (await this.#leader()) === 'n1' ? 'n2' : 'n1'
    await this.#client.admin.transferLeader(to)
    await until('the other leads', async () => (await this.#leader()) === to)
  }

  async #leader(): Promise<string | undefined> {
    return (await this.#client.admin.status()).ranges[0]?.leader
  }

  /**
   * Every read from the victim is compared with the truth: those before it has caught up, and everything afterwards. Where one
   * finds damage, another node answers; and all is read again once the victim is rebuilt.
   */
  async #watch(): Promise<TrialResult> {
    const node = new NodeClient(this.nodes.flagsOf(victim).listen as string)
    const quarantines = this.#quarantines
    try {
      const early = this.truth.wrongAsPrefix(await node.scanStale(prefix))
      if (early !== undefined) return { outcome: 'WRONG', detail: `while it caught up: ${early}` }
      for (;;) {
        await this.#untilEqual()
        const known = quarantines.length
        const wrong = await this.#wrongReads(node)
        if (wrong !== undefined) return { outcome: 'WRONG', detail: wrong }
        const unequal = await this.#wrongRows()
        if (quarantines.length > rebuildsMax) return { outcome: 'WRONG', detail: quarantines.join('; ') }
        if (quarantines.length > known) continue
        if (unequal !== undefined) return { outcome: 'WRONG', detail: unequal }
        const [first] = quarantines
        if (first !== undefined) return { outcome: 'rebuilt', detail: first }
        return { outcome: 'repaired', detail: 'equal state hash, equal rows, equal contents' }
      }
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      return { outcome: 'WRONG', detail: [detail, ...quarantines].join('; ') }
    } finally {
      node.close()
    }
  }

  async #wrongReads(node: NodeClient): Promise<string | undefined> {
    const stale = this.truth.wrongAt(this.truth.newest, await node.scanStale(prefix))
    if (stale !== undefined) return `stale read: ${stale}`
    for (const at of this.truth.instants(8)) {
      const items = await node.scan(prefix, { kind: quorate.v1.ReadKind.READ_KIND_AT, at })
      const wrong = this.truth.wrongAt(at, items)
      if (wrong !== undefined) return `read of the past: ${wrong}`
    }
    return undefined
  }

  /** Each replica reads all its rows. */
  async #wrongRows(): Promise<string | undefined> {
    const { equal, replicas } = await this.#client.admin.checksum({ timeoutMs: 20_000 })
    return equal ? undefined : `unequal rows: ${JSON.stringify(replicas)}`
  }

  /** Nothing is written meanwhile, so the applied indexes meet, and with them the state hashes must. */
  async #untilEqual(): Promise<void> {
    const unequal = new Set<string>()
    await until('the victim has caught up', async () => {
      const [range] = (await this.#client.admin.status()).ranges
      const replicas = range?.replicas ?? []
      // What a quarantined one says of its state counts for nothing.
      if (replicas.some(replica => replica.trouble !== '')) throw new Error(JSON.stringify(replicas))
      const isLevel = new Set(replicas.map(replica => replica.applied)).size === 1
      if (isLevel && new Set(replicas.map(replica => replica.hash)).size > 1)
        unequal.add(replicas.map(replica => `${replica.node} ${replica.hash}`).join(', '))
      if (unequal.size > 0) return true
      if (!isLevel || replicas.length < 3) throw new Error(JSON.stringify(replicas))
      return replicas.every(replica => replica.reachable && replica.role === 'voter')
    })
    if (unequal.size > 0) throw new Error(`unequal hashes at one index: ${[...unequal].join('; ')}`)
  }

  /** Starts the victim on its whole directory, and compares all three with the truth. */
  async finish(): Promise<string[]> {
    const wrong: string[] = []
    const last = await this.trial(() => {})
    if (last.outcome !== 'repaired') wrong.push(`the undamaged copy: ${last.outcome}: ${last.detail}`)
    for (const name of this.nodes.names.filter(name => name !== victim)) {
      const node = new NodeClient(this.nodes.flagsOf(name).listen as string)
      const problem = this.truth.wrongAt(this.truth.newest, await node.scanStale(prefix))
      if (problem !== undefined) wrong.push(`${name}: ${problem}`)
      node.close()
    }
    return wrong
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nodes[Symbol.asyncDispose]()
  }
}

/** Several versions of each key, some deleted, over several lives of every node. Returns the keys. */
async function load(nodes: LocalNodes, client: Client, random: Prng): Promise<readonly string[]> {
  const keys = Array.from({ length: keyCount }, (_, at) => `${prefix}${String(at).padStart(5, '0')}`)
  const folderOf = (name: string) => join(nodes.folder, name)
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      keys
        .filter(() => random.below(3) > 0)
        .map(async key => {
          await (random.below(8) === 0 ? client.delete(key) : client.put(key, value(random)))
        }),
    )
    await nodes.allVote()
    if (round === rounds - 1) break
    for (const name of nodes.names) {
      await nodes.stopNode(name)
      if (name === victim && round === 2) cpSync(nodes.dataOf(name), folderOf('early'), { recursive: true })
      await nodes.startNode(name)
    }
    await nodes.allVote()
  }
  await nodes.stopNode('n2')
  cpSync(nodes.dataOf('n2'), folderOf('other'), { recursive: true })
  await nodes.startNode('n2')
  await nodes.allVote()
  // Not its leader: the others keep theirs, and go on without an election.
  await client.admin.transferLeader('n1')
  await nodes.stopNode(victim)
  cpSync(nodes.dataOf(victim), folderOf('whole'), { recursive: true })
  return keys
}

/** Half of them compress. */
function value(random: Prng): string {
  const length = random.below(8_000)
  if (random.below(2) === 0) return 'quorate '.repeat(length / 8)
  return Buffer.from(Array.from({ length }, () => random.below(128))).toString('latin1')
}
