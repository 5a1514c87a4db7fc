// One machine of the simulated world: a clock chip, two disks and an identity that outlive the processes which run on it.
// Each process is the production composition (src/node-core.ts) on a fresh SimClock.

import type { NodeConfig } from '../../src/config.ts'
import { isKvError } from '../../src/base/errors.ts'
import type { NodeId } from '../../src/base/ids.ts'
import type { Logger } from '../../src/base/logger.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { SessionLimits } from '../../src/command/sessions.ts'
import { type NodeCore, openNodeCore } from '../../src/node-core.ts'
import type { RangeMessage, Transport } from '../../src/transport/transport.ts'
import { FakeLogFiles } from '../log/fake-log-files.ts'
import type { MemoryNetwork } from '../transport/memory-transport.ts'
import { SimClock, type SimScheduler, SimWall } from './sim-clock.ts'
import { SimDirectory, simStoreId } from './sim-directory.ts'
import { SimDisk } from './sim-disk.ts'
import { SimEngineDisk } from './sim-engine.ts'
import { type PeerProcess, SimPeers, type SimPeersOptions } from './sim-peers.ts'

/** Disk and machine, drawn from the seed. */
export interface MachineTraits {
  readonly syncMinMs: number
  readonly syncMaxMs: number
  /** One sync in so many takes `spikeMs`. 0: none. */
  readonly spikeEvery: number
  readonly spikeMs: number
  readonly timerLateMaxMs: number
  /** One look at the clock in so many finds that the event loop was held up for `stallMs`. 0: none. */
  readonly stallEvery: number
  readonly stallMs: number
}

export interface SimNodeOptions {
  readonly name: NodeId
  /** 1, 2, …: for store ids. */
  readonly number: number
  readonly config: NodeConfig
  readonly scheduler: SimScheduler
  readonly network: MemoryNetwork
  readonly prng: Prng
  readonly unixMs: number
  readonly traits: MachineTraits
  readonly peers: Pick<SimPeersOptions, 'find' | 'nodeAt' | 'travelMs'>
  /** Where all nodes are now: what an operator tells those who need it. */
  readonly addresses: () => readonly string[]
  readonly observer: NodeObserver
  readonly sessionLimits: SessionLimits
}

/** However slow a disk is: longer than that, and what was begun under a fault outlives it. */
const syncLimitMs = 3_000

/** What the world watches. Nothing in here reaches the node. */
export interface NodeObserver {
  /** Something of the node ran in this event. */
  touched(node: SimNode): void
  /** The log is read back, and nothing was said yet. */
  opened(node: SimNode, core: NodeCore): void
  /** All that it had is in place, what a crash had cut short as well. */
  started(node: SimNode, core: NodeCore): void
  sent(node: SimNode, to: NodeId, message: RangeMessage): void
  delivered(node: SimNode, from: NodeId, messages: readonly RangeMessage[]): void
  /** The process ended by itself: it would not start, or must not go on. */
  ended(node: SimNode, reason: unknown): void
  logged(node: SimNode, level: string, fields: object, message: string): void
}

export class SimNode {
  readonly name: NodeId
  readonly wall: SimWall
  readonly engineDisk: SimEngineDisk
  readonly logFiles: FakeLogFiles
  readonly disk: SimDisk
  #directory: SimDirectory
  readonly #options: SimNodeOptions
  #clock: SimClock | undefined
  #core: NodeCore | undefined
  #process: PeerProcess | undefined
  #transport: Transport | undefined
  #lives = 1
  /** Counts the places where it has been. */
  #place = 0
  #isTold = true
  /** Multiplies what every sync takes. */
  slowness = 1
  /** Multiplies, too, what every write of the engine takes. */
  engineSlowness = 1
  /** Why the last process ended by itself. */
  failure: unknown
  readonly #logger: Logger

  constructor(options: SimNodeOptions) {
    this.#options = options
    this.name = options.name
    this.wall = new SimWall(options.scheduler, options.unixMs)
    this.engineDisk = new SimEngineDisk({ prng: options.prng, undoBatches: 8 })
    this.logFiles = new FakeLogFiles({ prng: options.prng })
    this.disk = new SimDisk(options.config.limits)
    this.#directory = this.#createDirectory()
    const log = (level: string) => (fields: object, message: string) =>
      options.observer.logged(this, level, fields, message)
    this.#logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') }
  }

  get isRunning(): boolean {
    return this.#clock !== undefined
  }
  get isPaused(): boolean {
    return this.#clock?.isPaused === true
  }
  /** Once it has opened and talks. */
  get core(): NodeCore | undefined {
    return this.#core
  }
  get clock(): SimClock | undefined {
    return this.#clock
  }
  /** Its process has had the time to act by it. */
  get knowsDiskFull(): boolean {
    return this.#clock !== undefined && this.disk.knownMs(this.#clock, ['full']) > 1
  }
  get process(): PeerProcess | undefined {
    return this.#process
  }
  get storeId(): string {
    return this.#directory.identity.storeId
  }
  get peerAddress(): string {
    return `${this.name}:${this.#place * 10 + 1}`
  }
  get isMember(): boolean {
    return this.#directory.identity.clusterId !== undefined
  }

  start(): void {
    if (this.#clock !== undefined) return
    const { prng, traits, observer } = this.#options
    this.failure = undefined
    const clock = new SimClock({
      wall: this.wall,
      prng,
      timerLateMaxMs: traits.timerLateMaxMs,
      stallEvery: traits.stallEvery,
      stallMs: traits.stallMs,
      onRun: () => observer.touched(this),
      onUncaught: error => this.#end(clock, error),
    })
    this.#clock = clock
    clock.defer(() => void this.#boot(clock).catch((error: unknown) => this.#end(clock, error)))
  }

  /** kill -9, or the power. */
  crash(kind: 'kill' | 'power'): void {
    if (this.#clock === undefined) return
    this.#clock.kill()
    this.#leave()
    this.logFiles.crash(kind)
    this.engineDisk.crash()
  }

  pause(): void {
    this.#clock?.pause()
  }

  resume(): void {
    this.#clock?.resume()
  }

  /** SIGTERM: it hands over and ends by itself. */
  drain(): void {
    const core = this.#core
    const clock = this.#clock
    if (core === undefined || clock === undefined) return
    clock.defer(() => {
      const drained = core.drain().then(() => core[Symbol.asyncDispose]())
      drained.then(
        () => {
          if (this.#clock === clock) this.crash('kill')
        },
        (error: unknown) => this.#end(clock, error),
      )
    })
  }

  /** To another address, at which it must be started. `isTold`: it is given the addresses of the others, from now on. */
  move({ isTold }: { readonly isTold: boolean }): void {
    this.crash('kill')
    this.#place++
    this.#isTold = isTold
  }

  /** An empty machine under the same name and address. */
  wipe(): void {
    this.crash('power')
    this.engineDisk.wipe()
    this.logFiles.wipe()
    this.#lives++
    this.#directory = this.#createDirectory()
  }

  async #boot(clock: SimClock): Promise<void> {
    const { prng, network, observer, peers, addresses } = this.#options
    const directory = this.#directory
    // Who is in no cluster yet has nobody else to ask.
    const config = { ...this.#options.config, join: this.#isTold || !this.isMember ? addresses() : [] }
    const place = this.#place * 10
    const core = await openNodeCore(config, {
      clock,
      randomBytes: length => Uint8Array.from({ length }, () => prng.below(256)),
      randomInt: bound => prng.below(bound),
      directory,
      engine: this.engineDisk.open({
        schedule: (complete, operation, bytes) =>
          this.#complete(clock, complete, bytes, operation === 'write' ? this.engineSlowness : 1),
      }),
      logFiles: this.logFiles.mount((complete, _operation, bytes) => this.#complete(clock, complete, bytes)),
      createTransport: context => {
        this.#transport = network.transport(context)
        return this.#observed(this.#transport)
      },
      createPeers: context => new SimPeers({ clock, context, ...peers }),
      place: `${this.name} at ${place}`,
      addresses: () => ({
        peer: `${this.name}:${place + 1}`,
        client: `${this.name}:${place + 2}`,
        http: `${this.name}:${place + 3}`,
      }),
      disk: this.disk.open(clock),
      sessionLimits: this.#options.sessionLimits,
      logger: this.#logger,
      onFatal: error => {
        // Not at once: what the node still does in this turn must be harmless.
        clock.defer(() => this.#end(clock, error))
      },
    })
    observer.opened(this, core)
    this.#process = { clock, context: core.context, handlers: core.peerHandlers }
    this.#core = core
    await core.start()
    if (this.#core === core) observer.started(this, core)
  }

  #observed(transport: Transport): Transport {
    const { observer } = this.#options
    return {
      start: handlers =>
        transport.start({
          ...handlers,
          onMessages: (from, messages) => {
            observer.delivered(this, from, messages)
            handlers.onMessages(from, messages)
          },
        }),
      setPeers: addresses => transport.setPeers(addresses),
      send: (to, channel, message) => {
        observer.sent(this, to, message)
        transport.send(to, channel, message)
      },
      sendSnapshot: (to, snapshot, signal) => transport.sendSnapshot(to, snapshot, signal),
      health: () => transport.health(),
      close: () => transport.close(),
    }
  }

  /** The process ended by itself; its disks are as after a kill. */
  #end(clock: SimClock, reason: unknown): void {
    if (this.#clock !== clock) return
    this.failure = reason
    this.crash('kill')
    this.#options.observer.ended(this, reason)
  }

  #leave(): void {
    this.#clock = undefined
    this.#core = undefined
    this.#process = undefined
    const transport = this.#transport
    this.#transport = undefined
    if (transport !== undefined) this.#options.network.kill(transport)
  }

  /** A disk's answer, in the life of the process that asked. */
  #complete(clock: SimClock, complete: () => void, bytes: number, slowness = 1): void {
    const { prng, traits } = this.#options
    const isSpike = traits.spikeEvery > 0 && prng.below(traits.spikeEvery) === 0
    const base = traits.syncMinMs + prng.next() * (traits.syncMaxMs - traits.syncMinMs) + bytes / 100_000
    clock.arriveAfter(Math.min((isSpike ? traits.spikeMs : base) * this.slowness * slowness, syncLimitMs), complete)
  }

  #createDirectory(): SimDirectory {
    return new SimDirectory(this.name, simStoreId(this.#options.number, this.#lives), this.logFiles)
  }
}

export function isDamage(reason: unknown): boolean {
  return isKvError(reason, 'damaged')
}
