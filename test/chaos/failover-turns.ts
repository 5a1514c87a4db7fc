// One turn of each kind: a fault, the time to the next acknowledged write begun after it, the end of the fault, and the time
// until the node is of use again. Every fault is seen to have happened, or the turn throws.

import { type Client, connect } from '../../src/client/client.ts'
import { must } from '../../src/base/assert.ts'
import { quorate } from '../../src/proto/quorate.js'
import type { NodeProcess } from '../support/node-process.ts'
import { type ClusterView, ProcessCluster } from '../support/process-cluster.ts'
import { until } from '../support/until.ts'

const { READ_KIND_LINEARIZABLE } = quorate.v1.ReadKind
const key = 'failover'
const readAttemptMs = 250
const pauseElectionTimeouts = 10
const missedWrites = 50

export interface Turn {
  /** The fault → the acknowledgement of a write begun after it. */
  readonly failoverMs?: number
  /** Healing begins → the node has applied what was committed then, and has served a linearizable read. */
  readonly rejoinMs?: number
  /** Who led in which term when the fault ended is not who leads in which term after the node is back. */
  readonly unseated?: string
}

export class FailoverBench {
  readonly electionTimeoutMs: number
  readonly #cluster: ProcessCluster
  /** One caller that has written before and knows the leader, as any caller would. */
  readonly #client: Client
  #writes = 0
  #followers = 0

  private constructor(cluster: ProcessCluster, electionTimeoutMs: number) {
    this.#cluster = cluster
    this.electionTimeoutMs = electionTimeoutMs
    this.#client = connect(cluster.url, { timeoutMs: 20_000 })
  }

  static async start(electionTimeoutMs: number): Promise<FailoverBench> {
    return new FailoverBench(await ProcessCluster.start({ electionTimeoutMs }), electionTimeoutMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close()
    await this.#cluster.close()
  }

  /** What the nodes said last, for when a turn throws. */
  logTails(): string {
    return this.#cluster.nodes.map(node => `--- ${node.name}\n${node.logTail()}`).join('\n')
  }

  /** SIGKILL; then it starts again. */
  async kill(): Promise<Turn> {
    const { leader } = await this.#begin()
    const start = performance.now()
    const gone = leader.kill()
    await this.#write()
    const failoverMs = performance.now() - start
    await gone
    const seated = await this.#seated(leader)
    leader.start()
    await this.#cluster.untilHealthy()
    return { failoverMs, ...(await this.#unseated(seated)) }
  }

  /** SIGSTOP, for ten election timeouts. */
  async pause(): Promise<Turn> {
    const { leader } = await this.#begin()
    const start = performance.now()
    leader.pause()
    await this.#write()
    const failoverMs = performance.now() - start
    const seated = await this.#seated(leader)
    const pauseMs = pauseElectionTimeouts * this.electionTimeoutMs
    await until('the pause has lasted', () => performance.now() - start >= pauseMs)
    const { commit } = await this.#viewFrom(leader)
    const resumed = performance.now()
    leader.resume()
    const rejoinMs = await this.#rejoin(leader, commit, resumed)
    return { failoverMs, rejoinMs, ...(await this.#unseated(seated)) }
  }

  /** Everything that the leader says or is told is lost, to and from clients as well. */
  async blackhole(): Promise<Turn> {
    const { leader } = await this.#begin()
    const start = performance.now()
    await this.#isolate(leader)
    // From when the last link is gone; a cut takes a few milliseconds, in which a leader may still commit.
    const cut = performance.now()
    await this.#write()
    const failoverMs = performance.now() - cut
    if (cut - start > this.electionTimeoutMs / 2) throw new Error(`the cut took ${Math.round(cut - start)} ms: void`)
    const seated = await this.#seated(leader)
    return { failoverMs, ...(await this.#healed(leader, seated)) }
  }

  /** A follower is cut off while writes go on. */
  async cutFollower(): Promise<Turn> {
    const { leader } = await this.#begin()
    const others = this.#cluster.others(leader.name)
    const victim = must(others[this.#followers++ % others.length])
    await this.#isolate(victim)
    for (let write = 0; write < missedWrites; write++) await this.#write()
    // The effect: it has not heard of them.
    const { commit } = await this.#viewFrom(victim)
    const behind = (await victim.client.status(true)).ranges[0]?.commit ?? 0
    if (behind + missedWrites > commit) throw new Error(`${victim.name} was cut off and has commit ${behind}: void`)
    return this.#healed(victim, await this.#seated(victim))
  }

  async #healed(node: NodeProcess, seated: ClusterView): Promise<Turn> {
    const { commit } = await this.#viewFrom(node)
    const start = performance.now()
    await this.#cluster.heal()
    const rejoinMs = await this.#rejoin(node, commit, start)
    return { rejoinMs, ...(await this.#unseated(seated)) }
  }

  async #isolate(node: NodeProcess): Promise<void> {
    const others = this.#cluster.others(node.name).map(other => other.name)
    const links = [...this.#cluster.linksBetween([node.name], others), this.#cluster.clientLink(node.name)]
    await Promise.all(links.map(link => link.cut('drop')))
  }

  /** All is well, and the client's last write went to the leader. */
  async #begin(): Promise<{ readonly leader: NodeProcess }> {
    await this.#cluster.untilHealthy()
    const leader = await this.#cluster.leader()
    await this.#write()
    return { leader }
  }

  async #write(): Promise<void> {
    await this.#client.put(key, String(this.#writes++))
  }

  /** Who leads in whose stead; that it is another shows that the fault was one, or, for a follower, whom not to unseat. */
  async #seated(without: NodeProcess): Promise<ClusterView> {
    await this.#cluster.leader(this.#cluster.others(without.name))
    return this.#viewFrom(without)
  }

  /** What the leader among the others says. */
  async #viewFrom(without: NodeProcess): Promise<ClusterView> {
    const leader = await this.#cluster.leader(this.#cluster.others(without.name))
    return must(await this.#cluster.viewOf(leader))
  }

  async #rejoin(node: NodeProcess, goal: number, start: number): Promise<number> {
    const hasApplied = async (): Promise<boolean> => must(await this.#cluster.viewOf(node)).applied >= goal
    await until(`${node.name} has caught up`, hasApplied, { intervalMs: 5 })
    const read = async (): Promise<boolean> => {
      const value = await node.client.get(key, READ_KIND_LINEARIZABLE, readAttemptMs)
      return value === String(this.#writes - 1)
    }
    await until(`${node.name} serves a linearizable read`, read, { intervalMs: 5 })
    return performance.now() - start
  }

  async #unseated(seated: ClusterView): Promise<Turn> {
    await this.#cluster.untilHealthy()
    const now = must(await this.#cluster.viewOf(await this.#cluster.leader()))
    if (now.leader === seated.leader && now.term === seated.term) return {}
    return { unseated: `${seated.leader} in term ${seated.term}, then ${now.leader} in term ${now.term}` }
  }
}
