// Puts the faults of the list into the world and takes them out again. At most one node at a time is lost for good (wiped,
// removed or damaged), and not before the last one votes again: then every failure is a bug, and not a lost quorum.

import { strict as assert } from 'node:assert'
import type { NodeId, ReplicaId } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import { rangeOne } from '../../src/range/store.ts'
import { call } from './client.ts'
import { type Fault, type FaultKind, thinLane } from './faults.ts'
import type { EngineOperation } from './sim-engine.ts'
import { type SimNode, isDamage } from './sim-node.ts'
import { askLeader, bringBack } from './operator.ts'
import { RottenRows } from './rotten-rows.ts'
import { sealedEnd, usedBytes } from './sealed-log.ts'
import type { World } from './world.ts'

/** An error on write or fsync must have ended the process by then (virtual). */
const endAfterErrorMs = 1_000
/** How long a starved process runs between two stalls. */
const stutterRunMs = 5
/** What was applied so long ago is in the engine as well, and survives a crash. */
const flushedMs = 5_000
/** The leader is asked to remove itself, hands over, and the next one is asked. */
const removeAttemptsMax = 3
/** How long a removed node that was started as it is has to stay out. */
const stayOutMs = 3_000

export class Nemesis {
  /** Faults that had an effect. */
  readonly injected = new Map<FaultKind, number>()
  readonly rotten: RottenRows
  readonly #world: World
  readonly #prng: Prng
  /** Lost for good, until it is back under a new store id and as many vote as should. */
  #lost: { readonly node: SimNode; readonly storeId: string; isBackAsItWas?: boolean } | undefined
  /** Nodes that may end by themselves, and why. */
  readonly #mayEnd = new Map<SimNode, FaultKind>()
  readonly #mending = new Set<() => void>()
  #movedMs = Number.NEGATIVE_INFINITY
  #isOver = false

  constructor(world: World, prng: Prng) {
    this.#world = world
    this.#prng = prng
    this.rotten = new RottenRows(world, prng)
    world.onEnded = (node, reason) => this.#ended(node, reason)
  }

  plan(faults: readonly Fault[]): void {
    for (const fault of faults) this.#world.scheduler.schedule(fault.atMs, () => this.#inject(fault))
  }

  /** Everything is mended and every node runs; damaged ones are wiped first. */
  end(): void {
    this.#isOver = true
    for (const mend of [...this.#mending]) mend()
    this.#world.network.healAll()
    this.#world.network.setFaults({ ...this.#world.options.link, loss: 0, duplication: 0, reorder: false })
    for (const node of this.#world.nodes) {
      node.resume()
      node.slowness = 1
      node.engineSlowness = 1
      node.disk.fill('ok')
      node.wall.thaw()
      node.wall.setDrift(0)
      node.wall.jump(this.#world.unixMs - node.wall.unixMs())
      node.start()
    }
  }

  /** The node that has to vote again, or to be rebuilt, before another may be lost. */
  get lost(): SimNode | undefined {
    if (this.rotten.node !== undefined) return this.rotten.node
    if (this.#lost === undefined) return undefined
    const { node, storeId, isBackAsItWas } = this.#lost
    if (node.storeId === storeId && isBackAsItWas !== true) return node
    const leader = this.#world.leader()
    const replica = leader?.core?.store.replica(rangeOne)
    if (replica === undefined) return node
    const { voters, votersOutgoing } = replica.status().configuration
    const isBack =
      votersOutgoing.length === 0 &&
      replica.state.appliedIndex === replica.status().commit &&
      voters.length === this.#world.options.voters &&
      replica.descriptor.replicas.some(member => member.node === node.name && member.storeId === node.storeId) &&
      voters.every(voter => this.#knows(voter, voters))
    if (isBack) this.#lost = undefined
    return this.#lost?.node
  }

  /** A configuration counts where it has been applied: should the leader alone know of it, the others need the one before. */
  #knows(voter: ReplicaId, voters: readonly ReplicaId[]): boolean {
    const replicas = this.#world.nodes.map(node => node.core?.store.replica(rangeOne))
    const own = replicas.find(replica => replica?.replicaId === voter)
    return own !== undefined && String(own.status().configuration.voters) === String(voters)
  }

  #inject(fault: Fault): void {
    if (this.#isOver) return
    const did = this.#apply(fault)
    if (did === undefined) return
    this.injected.set(fault.kind, (this.injected.get(fault.kind) ?? 0) + 1)
    this.#world.trace.line(this.#world.nowMs, '!', `${fault.kind} ${did} for ${Math.round(fault.forMs)} ms`)
  }

  /** What was done, to whom; undefined: it does not fit now. */
  #apply({ kind, dice, forMs }: Fault): string | undefined {
    const { network, nodes, options } = this.#world
    const names = nodes.map(node => node.name)
    const node = nodes[dice[0] % nodes.length] as SimNode
    const other = nodes[(dice[0] + 1 + (dice[1] % (nodes.length - 1))) % nodes.length] as SimNode
    const cut = (pairs: readonly (readonly [NodeId, NodeId])[]): void => {
      for (const [from, to] of pairs) network.cut(from, to)
      this.#later(forMs, () => pairs.forEach(([from, to]) => network.heal(from, to)))
    }
    const between = (left: readonly NodeId[], right: readonly NodeId[]) =>
      left.flatMap(a => right.flatMap(b => (a === b ? [] : [[a, b] as const, [b, a] as const])))
    switch (kind) {
      case 'cut-both':
        cut(between([node.name], [other.name]))
        return `${node.name} ${other.name}`
      case 'cut-one-way':
        cut([[node.name, other.name]])
        return `${node.name} to ${other.name}`
      case 'isolate': {
        const victim = dice[1] % 2 === 0 ? (this.#world.leader() ?? node) : node
        cut(between([victim.name], names))
        return victim.name
      }
      case 'split': {
        const left = names.filter((_, at) => ((dice[1] >> at) & 1) === 1)
        cut(
          between(
            left,
            names.filter(name => !left.includes(name)),
          ),
        )
        return left.join()
      }
      case 'bridge': {
        const rest = names.filter(name => name !== node.name)
        const half = rest.slice(0, rest.length / 2)
        cut(between(half, rest.slice(rest.length / 2)))
        return `over ${node.name}`
      }
      case 'lossy':
        network.setFaults({ ...options.link, loss: (dice[1] % 30) / 100 }, node.name, other.name)
        this.#later(forMs, () => network.setFaults(undefined, node.name, other.name))
        return `${node.name} to ${other.name} ${dice[1] % 30} %`
      case 'slow-link': {
        const delayMaxMs = 20 + (dice[1] % 500)
        // All its channels alike.
        const all = { ...options.link, lanes: {}, delayMaxMs, reorder: dice[2] % 2 === 0 }
        network.setFaults(all, node.name, other.name)
        this.#later(forMs, () => network.setFaults(undefined, node.name, other.name))
        return `${node.name} to ${other.name} ${delayMaxMs} ms`
      }
      case 'thin-append': {
        const append = thinLane(dice)
        network.setFaults({ ...options.link, lanes: { ...options.link.lanes, append } }, node.name, other.name)
        this.#later(forMs, () => network.setFaults(undefined, node.name, other.name))
        return `${node.name} to ${other.name} ${append.bytesPerMs} bytes a ms`
      }
      case 'clog':
        network.clog(node.name, other.name)
        this.#later(forMs, () => network.unclog(node.name, other.name))
        return `${node.name} to ${other.name}`
      case 'break-streams':
        network.breakStream(node.name, other.name)
        return `${node.name} to ${other.name}`
      case 'kill':
      case 'power-loss':
        return this.#crash([node], kind, forMs)
      case 'kill-majority':
        return this.#crash(nodes.slice(0, (nodes.length >> 1) + 1), 'kill', forMs)
      case 'power-loss-all':
        return this.#crash(nodes, 'power-loss', forMs / 4)
      case 'pause':
        return this.#pause(node, forMs)
      case 'pause-leader':
        return this.#pause(this.#world.leader(), forMs)
      case 'stutter-leader': {
        const leader = this.#world.leader()
        const did = this.#stutter(leader, options.heartbeatMs * (1 + (dice[1] % 4)), forMs)
        // Alone with its clients it still takes itself for the leader, for longer than others wait.
        if (leader !== undefined && did !== undefined && dice[2] % 2 === 0) cut(between([leader.name], names))
        return did
      }
      case 'slow-disk':
        node.slowness = 5 + (dice[1] % 50)
        this.#later(forMs, () => {
          node.slowness = 1
        })
        return `${node.name} ${node.slowness} times`
      case 'slow-engine':
        // Its log keeps up, so that it knows of ever more that it cannot apply.
        node.engineSlowness = 500
        this.#later(forMs, () => {
          node.engineSlowness = 1
        })
        return node.name
      case 'write-error':
        return this.#failDisk(node, kind, 'write', 'EIO: i/o error', forMs)
      case 'create-error':
        return this.#failDisk(node, kind, 'create', 'EIO: i/o error', forMs)
      case 'disk-full':
        return this.#failDisk(node, kind, 'write', 'ENOSPC: no space left on device', forMs)
      case 'disk-fills': {
        // Of one, or of a majority: then nothing can be written until there is room.
        const filled = dice[2] % 4 === 0 ? nodes.slice(0, (nodes.length >> 1) + 1) : [node]
        const band = dice[1] % 2 === 0 ? 'low' : 'full'
        for (const full of filled) full.disk.fill(band)
        this.#later(forMs, () => filled.forEach(full => full.disk.fill('ok')))
        return `${filled.map(({ name }) => name).join()} ${band}`
      }
      case 'engine-error':
        return this.#failEngine(node, kind, ['write'], forMs)
      case 'log-read-error':
        return this.#failDisk(node, kind, 'read', 'EIO: i/o error', forMs)
      case 'engine-read-error':
        return this.#failEngine(node, kind, ['get', 'read'], forMs)
      case 'clock-jump': {
        const ms = ((dice[1] % 2 === 0 ? 1 : -1) * (dice[2] % 8_000)) / (1 + (dice[1] % 20))
        node.wall.jump(ms)
        this.#later(forMs, () => node.wall.jump(-ms))
        return `${node.name} ${Math.round(ms)} ms`
      }
      case 'clock-drift':
        node.wall.setDrift(((dice[1] % 200) - 100) / 1_000)
        this.#later(forMs, () => node.wall.setDrift(0))
        return `${node.name} ${((dice[1] % 200) - 100) / 10} %`
      case 'clock-freeze': {
        const frozenAtMs = this.#world.nowMs
        node.wall.freeze()
        this.#later(Math.min(forMs, 5_000), () => {
          node.wall.thaw()
          node.wall.jump(this.#world.nowMs - frozenAtMs)
        })
        return node.name
      }
      case 'transfer':
        return this.#admin(other.name, core => core.localStore.transferLeader(rangeOne, other.name))
      case 'drain':
        if (node.core === undefined || node.isPaused) return undefined
        node.drain()
        this.#later(forMs + options.limits.drainMs, () => {
          if (node.isRunning) node.crash('kill')
          node.start()
        })
        return node.name
      case 'remove':
        return this.#remove(node, dice, forMs)
      case 'wipe':
        return this.#lose(node, () => {
          node.wipe()
          this.#later(forMs, () => node.start())
        })
      case 'rot-log':
        return this.#rotLog(node, dice, forMs)
      case 'rot-engine':
        return this.#rotEngine(node, dice, forMs)
      case 'rot-rows':
        if (this.lost !== undefined || this.#mayEnd.has(node) || !node.isMember) return undefined
        return this.rotten.rot(node, dice)
      case 'lose-batch':
        return this.#loseBatch(node, dice)
      case 'move':
        return this.#move(node, forMs)
      case 'move-all':
        return this.#moveAll(forMs)
      default:
        return kind satisfies never
    }
  }

  #later(ms: number, mend: () => void): void {
    const once = (): void => {
      if (!this.#mending.delete(once)) return
      mend()
    }
    this.#mending.add(once)
    this.#world.scheduler.after(ms, once)
  }

  #crash(nodes: readonly SimNode[], kind: 'kill' | 'power-loss', forMs: number): string | undefined {
    const running = nodes.filter(node => node.isRunning)
    if (running.length === 0) return undefined
    for (const node of running) {
      node.crash(kind === 'kill' ? 'kill' : 'power')
      this.#later(forMs * this.#prng.next(), () => node.start())
    }
    return running.map(node => node.name).join()
  }

  #pause(node: SimNode | undefined, forMs: number): string | undefined {
    if (node === undefined || !node.isRunning || node.isPaused) return undefined
    const { clock } = node
    node.pause()
    this.#later(forMs, () => {
      if (node.clock === clock) node.resume()
    })
    return node.name
  }

  /** A starved process: it runs for moments, each of which sees what has arrived, and one tick. */
  #stutter(node: SimNode | undefined, stallMs: number, forMs: number): string | undefined {
    if (node?.clock === undefined || node.isPaused) return undefined
    const { clock, name } = node
    const endsMs = this.#world.nowMs + forMs
    const stall = (): void => {
      if (node.clock !== clock || this.#isOver || this.#world.nowMs >= endsMs) return
      if (!node.isPaused) this.#pause(node, stallMs)
      this.#world.scheduler.after(stallMs + stutterRunMs, stall)
    }
    stall()
    return `${name} every ${stallMs} ms`
  }

  /** The next operation fails: nothing may be acknowledged after it, and the process ends by itself. */
  #failDisk(
    node: SimNode,
    kind: FaultKind,
    operation: 'write' | 'create' | 'read',
    message: string,
    forMs: number,
  ): string | undefined {
    if (node.core === undefined || node.isPaused || this.#mayEnd.has(node)) return undefined
    this.#mayEnd.set(node, kind)
    node.logFiles.fault = asked => {
      if (asked !== operation) return undefined
      node.logFiles.fault = () => undefined
      if (operation !== 'read') this.#mustEnd(node)
      return new Error(message)
    }
    this.#restartLater(node, forMs)
    return node.name
  }

  #failEngine(
    node: SimNode,
    kind: FaultKind,
    operations: readonly EngineOperation[],
    forMs: number,
  ): string | undefined {
    if (node.core === undefined || node.isPaused || this.#mayEnd.has(node)) return undefined
    this.#mayEnd.set(node, kind)
    node.engineDisk.fault = asked => {
      if (!operations.includes(asked)) return undefined
      node.engineDisk.fault = () => undefined
      if (asked === 'write') this.#mustEnd(node)
      return new Error('EIO: i/o error')
    }
    this.#restartLater(node, forMs)
    return node.name
  }

  #mustEnd(node: SimNode): void {
    const { clock } = node
    this.#world.scheduler.after(endAfterErrorMs, () => {
      const goesOn = clock !== undefined && node.clock === clock && !node.isPaused
      assert.ok(!goesOn, `${node.name} must end within a second of an error of its disk`)
    })
  }

  #restartLater(node: SimNode, forMs: number): void {
    this.#later(forMs, () => {
      node.logFiles.fault = () => undefined
      node.engineDisk.fault = () => undefined
      this.#mayEnd.delete(node)
      // A failed read may have stopped its replica alone: an operator starts the node anew.
      if (node.isRunning) node.crash('kill')
      node.start()
    })
  }

  #admin(who: string, work: Parameters<typeof call<unknown>>[3]): string | undefined {
    const leader = this.#world.leader()
    if (leader === undefined) return undefined
    void call(this.#world, this.#prng, leader.name, work, 5_000)
    return who
  }

  /** Gives the one place for a lost node to `node`, if it is free. */
  #lose(node: SimNode, how: () => void): string | undefined {
    if (this.lost !== undefined || this.#mayEnd.has(node)) return undefined
    this.#lost = { node, storeId: node.storeId }
    how()
    return node.name
  }

  /** Whether it worked or not, an operator wipes it and lets it join anew; or starts it as it is, and then lets it back in. */
  #remove(node: SimNode, dice: Fault['dice'], forMs: number): string | undefined {
    if (this.#world.leader() === undefined) return undefined
    const isWiped = dice[1] % 2 === 0
    const did = this.#lose(node, () => {
      askLeader(this.#world, this.#prng, core => core.localStore.removeMember(node.name), removeAttemptsMax)
      this.#later(forMs + 1_000, () => {
        if (isWiped) node.wipe()
        node.start()
        this.#later(isWiped ? 0 : stayOutMs, () =>
          bringBack(this.#world, this.#prng, node, isWiped, () => {
            if (this.#lost?.node === node) this.#lost.isBackAsItWas = true
          }),
        )
      })
    })
    return did === undefined ? undefined : `${did}, ${isWiped ? 'wiped' : 'as it is'}`
  }

  #rotLog(node: SimNode, dice: Fault['dice'], forMs: number): string | undefined {
    if (node.logFiles.paths().length === 0 || !node.isMember) return undefined
    return this.#lose(node, () => {
      node.crash('power')
      const segments = node.logFiles.paths()
      const sealed = sealedEnd(node.logFiles)
      const path = segments[dice[1] % segments.length] as string
      if (dice[2] % 8 === 0) node.logFiles.lose(path)
      else if (sealed !== undefined)
        node.logFiles.corrupt(path < sealed.path ? path : sealed.path, bytes => {
          const at = dice[2] % Math.max(1, path < sealed.path ? usedBytes(bytes) : sealed.at)
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (dice[1] % 8))
        })
      this.#mayEnd.set(node, 'rot-log')
      this.#later(forMs, () => node.start())
      this.#wipeLater(node, forMs + 3_000)
    })
  }

  #rotEngine(node: SimNode, dice: Fault['dice'], forMs: number): string | undefined {
    const keys = [...node.engineDisk.pairs().keys()].filter(key => 'dth'.includes(key[0] as string)).sort()
    if (keys.length === 0) return undefined
    return this.#lose(node, () => {
      node.crash('kill')
      const key = keys[dice[1] % keys.length] as string
      node.engineDisk.corrupt(key, bytes => {
        const at = dice[2] % Math.max(1, bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (dice[1] % 8))
      })
      this.#mayEnd.set(node, 'rot-engine')
      node.start()
      this.#wipeLater(node, forMs)
    })
  }

  #loseBatch(node: SimNode, dice: Fault['dice']): string | undefined {
    return this.#lose(node, () => {
      node.crash('power')
      node.engineDisk.loseBatch(1 + (dice[1] % 6))
      this.#mayEnd.set(node, 'lose-batch')
      node.start()
      this.#wipeLater(node, 2_000)
    })
  }

  /** It tells its cluster by itself, unless it may not know where that is. */
  #move(node: SimNode, forMs: number): string | undefined {
    if (node.core === undefined || this.#mayEnd.has(node)) return undefined
    const known = node.core.localStore.nodes()
    const isCurrent = this.#world.nodes.every(other =>
      known.some(({ id, peerAddress }) => id === other.name && peerAddress === other.peerAddress),
    )
    const isTold = !isCurrent || this.#world.nowMs - this.#movedMs < flushedMs
    this.#movedMs = this.#world.nowMs
    node.move({ isTold })
    this.#later(forMs * this.#prng.next(), () => node.start())
    return `${node.name} to ${node.peerAddress}${isTold ? ', told where the others are' : ''}`
  }

  #moveAll(forMs: number): string {
    this.#movedMs = this.#world.nowMs
    for (const node of this.#world.nodes) {
      node.move({ isTold: true })
      this.#later((forMs / 4) * this.#prng.next(), () => node.start())
    }
    return 'everybody'
  }

  /** What an operator does with a damaged node. */
  #wipeLater(node: SimNode, ms: number): void {
    this.#later(ms, () => {
      this.#mayEnd.delete(node)
      node.wipe()
      node.start()
    })
  }

  #ended(node: SimNode, reason: unknown): void {
    const fault = this.#mayEnd.get(node)
    const text = reason instanceof Error ? reason.message : String(reason)
    const isExpected =
      fault !== undefined &&
      (isDamage(reason) || /EIO|ENOSPC/.test(text) || fault === 'rot-engine' || fault === 'rot-log')
    if (!isExpected)
      throw new Error(`${node.name} ended by itself: ${reason instanceof Error ? reason.stack : text}`, {
        cause: reason,
      })
  }
}
