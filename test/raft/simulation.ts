// Five cores in one thread, from one seed. First anything goes: a network that loses, repeats, delays and reorders,
// cut links, slow disks, crashes that lose what was not flushed, changes of members and leaders, truncation and
// snapshots; the checkers look after every step. Then the faults stop, and the cluster must elect and converge.

import { strict as assert } from 'node:assert'
import { asIndex, asReplicaId, asTerm, noReplica, type ReplicaId } from '../../src/base/ids.ts'
import { createPrng, type Prng } from '../../src/base/prng.ts'
import { configurationOf, isJoint } from '../../src/raft/configuration.ts'
import type { ConfigurationStep } from '../../src/raft/types.ts'
import { Checkers, votersOf } from './checkers.ts'
import { emptyImage, Host, optionsOf, type Packet, type StateImage } from './host.ts'

const electionTimeoutTicks = 6
/** A range is born with its first entries truncated, so that whoever joins begins with a snapshot. */
const bornIndex = asIndex(1)

export interface SimulationResult {
  readonly steps: number
  readonly elections: number
  readonly committed: number
  readonly changes: number
  readonly snapshots: number
  readonly reads: number
  readonly crashes: number
}

export function simulate(seed: number, steps: number): SimulationResult {
  const simulation = new Simulation(seed)
  simulation.runWithFaults(steps)
  simulation.runUntilConverged()
  return simulation.result
}

class Simulation {
  readonly #prng: Prng
  readonly #hosts: Host[] = []
  readonly #checkers: Checkers
  readonly #down = new Set<ReplicaId>()
  /** "from>to" of the links that are cut. */
  readonly #cut = new Set<string>()
  /** Their clocks hardly move. */
  readonly #slow = new Set<ReplicaId>()
  #packets: Packet[] = []
  readonly #lossPercent: number
  readonly #duplicatePercent: number
  readonly #crashRate: number
  readonly #changePermille: number
  readonly #tickPercent: number
  /** Of 10,000 steps: a cut lasts for several election timeouts, or for a few messages. */
  readonly #cutRate: number
  readonly #healRate: number
  readonly #reads = new Map<string, number>()
  #proposals = 0
  #steps = 0
  #changes = 0
  #snapshots = 0
  #readsDone = 0
  #crashes = 0

  constructor(seed: number) {
    this.#prng = createPrng(seed)
    const below = (bound: number): number => this.#prng.below(bound)
    this.#lossPercent = below(3) === 0 ? below(30) : below(5)
    this.#duplicatePercent = below(15)
    this.#crashRate = below(2) === 0 ? below(5) : below(50)
    this.#changePermille = below(3) === 0 ? 0 : below(25)
    this.#tickPercent = 3 + below(12)
    this.#cutRate = 5 + below(15)
    this.#healRate = 1 + below(12)
    const voters = [1, 2, 3, 4, 5].slice(0, [1, 3, 3, 5][below(4)]).map(asReplicaId)
    const born: StateImage = { applied: bornIndex, term: asTerm(1), hash: 1, configuration: configurationOf(voters) }
    for (let id = 1; id <= 5; id++) {
      const replica = asReplicaId(id)
      const inflightMessagesMax = 1 + below(6)
      const host = new Host(
        optionsOf(replica, bound => this.#prng.below(bound), { electionTimeoutTicks, inflightMessagesMax }),
        {
          image: voters.includes(replica) ? born : emptyImage,
        },
      )
      host.reportsEntryTerm = below(4) === 0
      host.onSend = packet => this.#sent(host, packet)
      host.onApply = (entry, image) => {
        this.#checkers.check(host)
        this.#checkers.applied(host, entry, image)
      }
      this.#hosts.push(host)
    }
    this.#checkers = new Checkers(this.#hosts, bornIndex)
  }

  get result(): SimulationResult {
    return {
      steps: this.#steps,
      elections: this.#checkers.elections,
      committed: this.#checkers.committed,
      changes: this.#changes,
      snapshots: this.#snapshots,
      reads: this.#readsDone,
      crashes: this.#crashes,
    }
  }

  #sent(host: Host, packet: Packet): void {
    this.#checkers.sent(host, packet)
    this.#packets.push(packet)
  }

  #chance(permille: number): boolean {
    return this.#prng.below(1000) < permille
  }

  #anyHost(): Host {
    return this.#hosts[this.#prng.below(this.#hosts.length)] as Host
  }

  /** One that leads, or believes that it does; else any. */
  #anyLeader(): Host {
    const leaders = this.#hosts.filter(host => host.raft.role === 'leader' && !this.#down.has(host.id))
    return leaders[this.#prng.below(leaders.length)] ?? this.#anyHost()
  }

  // --- anything goes

  runWithFaults(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#steps++
      this.#faults()
      const host = this.#anyHost()
      if (this.#down.has(host.id)) {
        if (this.#chance(60)) this.#restart(host)
        continue
      }
      this.#work(host)
      this.#checkers.check(host)
      if (step % 16 === 0) this.#checkers.checkMatches(host)
    }
  }

  /** One thing that `host`, or the network toward anyone, may do next. */
  #work(host: Host): void {
    if (this.#chance(10 * this.#tickPercent)) {
      if (!this.#slow.has(host.id) || this.#chance(150)) host.raft.tick()
      return
    }
    const dice = this.#prng.below(100)
    if (dice < 50) this.#deliver(this.#prng.below(this.#packets.length))
    else if (dice < 70) this.#takeReady(host)
    else if (dice < 82) host.flush(1 + this.#prng.below(3))
    else if (dice < 90) host.apply(1 + this.#prng.below(4))
    else if (dice < 92) host.flushEngine()
    else if (dice < 93) host.truncate(this.#prng.below(4))
    else if (dice < 97) this.#propose(this.#anyLeader())
    else this.#read(this.#chance(300) ? host : this.#anyLeader())
  }

  #faults(): void {
    if (this.#prng.below(10_000) < this.#crashRate) this.#crash(this.#anyHost())
    if (this.#prng.below(10_000) < this.#cutRate) this.#cutSomething()
    if (this.#prng.below(10_000) < this.#healRate) this.#heal()
    if (this.#chance(this.#changePermille)) this.#changeMembers(this.#anyLeader())
    if (this.#chance(4)) this.#transfer(this.#anyLeader())
    if (this.#chance(3)) this.#anyHost().raft.reportUnreachable(this.#anyHost().id)
  }

  #takeReady(host: Host): void {
    if (!host.raft.hasReady()) return
    if (this.#chance(5)) {
      this.#takeReadyWithFailingDisk(host)
      return
    }
    const ready = host.takeReady()
    this.#checkers.checkLog(host)
    for (const { context, index, confirmed } of ready.readStates) {
      const key = `${host.id}/${context}`
      const floor = this.#reads.get(key)
      assert.ok(floor !== undefined, 'a read that was asked for is answered once')
      this.#reads.delete(key)
      if (!confirmed) continue
      assert.ok(index >= floor, `a read index covers all that was committed before the read began: ${index} < ${floor}`)
      this.#readsDone++
    }
    if (ready.snapshot !== undefined) this.#snapshots++
  }

  /** A read error passes through the core, which must then carry on as if it had not been asked. */
  #takeReadyWithFailingDisk(host: Host): void {
    host.log.failsReads = true
    try {
      host.takeReady()
    } catch (error) {
      assert.match(String(error), /EIO/)
    } finally {
      host.log.failsReads = false
    }
  }

  #deliver(slot: number): void {
    const packet = this.#packets[slot]
    if (packet === undefined) return
    const last = this.#packets.pop() as Packet
    if (slot < this.#packets.length) this.#packets[slot] = last
    if (this.#prng.below(100) < this.#duplicatePercent && packet.kind !== 'snapshot-stream') this.#packets.push(packet)
    const isLost =
      this.#prng.below(100) < this.#lossPercent ||
      this.#down.has(packet.to) ||
      this.#cut.has(`${packet.from}>${packet.to}`)
    const target = this.#hosts.find(host => host.id === packet.to) as Host
    if (!isLost) {
      target.step(packet)
      this.#checkers.check(target)
    }
    if (packet.kind === 'snapshot-stream' && !this.#down.has(packet.from)) {
      const source = this.#hosts.find(host => host.id === packet.from) as Host
      source.raft.snapshotReported(packet.to, packet.image.applied, !isLost)
      this.#checkers.check(source)
    }
  }

  #propose(host: Host): void {
    if (this.#down.has(host.id)) return
    this.#proposals++
    const data = new Uint8Array(4 + this.#prng.below(40))
    new DataView(data.buffer).setUint32(0, this.#proposals)
    host.raft.propose(data)
    this.#checkers.check(host)
  }

  #read(host: Host): void {
    if (this.#down.has(host.id)) return
    const floor = this.#checkers.committed
    const result = host.raft.readIndex()
    if (result.kind === 'accepted') this.#reads.set(`${host.id}/${result.context}`, floor)
  }

  #changeMembers(host: Host): void {
    if (this.#down.has(host.id)) return
    const steps: ConfigurationStep[] = []
    for (let count = this.#prng.below(4); count > 0; count--) {
      const kind = (['add-voter', 'add-voter', 'add-learner', 'remove'] as const)[this.#prng.below(4)] ?? 'remove'
      steps.push({ kind, replica: this.#anyHost().id })
    }
    const joint = (['auto-if-needed', 'auto-leave', 'explicit-leave'] as const)[this.#prng.below(3)] ?? 'auto-leave'
    const result = host.raft.proposeConfiguration({ steps, joint, context: new Uint8Array(0) })
    if (result.kind === 'accepted') this.#changes++
    this.#checkers.check(host)
  }

  #transfer(host: Host): void {
    if (this.#down.has(host.id)) return
    host.raft.transferLeadership(this.#anyHost().id)
    this.#checkers.check(host)
  }

  #crash(host: Host): void {
    if (this.#down.has(host.id)) return
    this.#crashes++
    this.#down.add(host.id)
    host.crash()
    for (const key of this.#reads.keys()) if (key.startsWith(`${host.id}/`)) this.#reads.delete(key)
  }

  #restart(host: Host): void {
    this.#down.delete(host.id)
    host.restart()
    this.#checkers.check(host)
  }

  #cutSomething(): void {
    if (this.#chance(500)) {
      // A leader alone, whose clock hardly moves: it goes on believing, while the others elect.
      const { id } = this.#anyLeader()
      this.#slow.add(id)
      this.#cutOff([id], false)
    } else
      this.#cutOff(
        this.#hosts.filter(() => this.#chance(400)).map(host => host.id),
        this.#chance(300),
      )
  }

  #cutOff(side: readonly ReplicaId[], isOneWay: boolean): void {
    for (const a of side) {
      for (const { id: b } of this.#hosts) {
        if (side.includes(b)) continue
        this.#cut.add(`${a}>${b}`)
        if (!isOneWay) this.#cut.add(`${b}>${a}`)
      }
    }
  }

  #heal(): void {
    this.#cut.clear()
    this.#slow.clear()
  }

  // --- the faults have stopped

  runUntilConverged(): void {
    this.#heal()
    // Streams end one way or the other: every one that was begun is reported.
    for (const host of this.#hosts) if (this.#down.has(host.id)) this.#restart(host)
    this.#runRounds(
      10 * electionTimeoutTicks,
      () => this.#settledLeader() !== undefined,
      'a leader within 10 election timeouts',
    )
    this.#runRounds(20 * electionTimeoutTicks, () => this.#isConverged(), 'everyone converges')
  }

  /** Rounds of one tick each, with everything delivered, flushed and applied between. */
  #runRounds(limit: number, isDone: () => boolean, what: string): void {
    for (let round = 0; round < limit; round++) {
      this.#settle()
      if (isDone()) return
      for (const host of this.#hosts) host.raft.tick()
    }
    this.#settle()
    if (!isDone()) assert.fail(`${what}: ${JSON.stringify(this.#hosts.map(host => host.raft.status()))}`)
  }

  #settle(): void {
    for (let turn = 0; turn < 1000; turn++) {
      for (const host of this.#hosts) {
        while (host.raft.hasReady() || host.writes.length > 0 || host.toApply.length > 0) {
          if (host.raft.hasReady()) {
            host.takeReady()
            this.#checkers.checkLog(host)
          }
          host.flush()
          this.#checkers.check(host)
          host.apply()
          this.#checkers.check(host)
        }
      }
      const packets = this.#packets
      this.#packets = []
      if (packets.length === 0) return
      for (const packet of packets) {
        const target = this.#hosts.find(host => host.id === packet.to) as Host
        target.step(packet)
        this.#checkers.check(target)
        if (packet.kind !== 'snapshot-stream') continue
        const source = this.#hosts.find(host => host.id === packet.from) as Host
        source.raft.snapshotReported(packet.to, packet.image.applied, true)
      }
    }
    assert.fail('the messages of one tick never end')
  }

  /** A leader whose term a quorum shares. */
  #settledLeader(): Host | undefined {
    return this.#hosts.find(host => {
      if (host.raft.role !== 'leader') return false
      const { configuration, term } = host.raft.status()
      const isFollowed = (half: readonly ReplicaId[]): boolean =>
        half.filter(id => this.#hosts.some(other => other.id === id && other.raft.term === term)).length >
        half.length / 2
      return isFollowed(configuration.voters) && (!isJoint(configuration) || isFollowed(configuration.votersOutgoing))
    })
  }

  #isConverged(): boolean {
    const leader = this.#settledLeader()
    if (leader === undefined) return false
    const { configuration, commit, lastIndex, transferTarget } = leader.raft.status()
    if (isJoint(configuration)) {
      if (configuration.autoLeave) return false
      leader.raft.proposeConfiguration({ steps: [], joint: 'auto-if-needed', context: new Uint8Array(0) })
      return false
    }
    if (commit !== lastIndex || transferTarget !== noReplica) return false
    const members = [...votersOf(configuration), ...configuration.learners]
    return members.every(id => {
      const host = this.#hosts.find(other => other.id === id) as Host
      return host.image.applied === commit && host.image.hash === leader.image.hash
    })
  }
}
