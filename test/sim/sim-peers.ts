// Calls between nodes that are answered, over the simulated network: each way takes its time, may be lost, and both ends
// judge each other as the real adapter does. Nothing of it outlives either process.

import { KvError, isKvError } from '../../src/base/errors.ts'
import type { NodeId } from '../../src/base/ids.ts'
import type { PeerHandlers } from '../../src/node-ports.ts'
import type { quorate } from '../../src/proto/quorate.js'
import { errorToProto } from '../../src/transport/forward-server.ts'
import { createHello, judgeHello } from '../../src/transport/hello.ts'
import type { PeerCalls } from '../../src/transport/peer-calls.ts'
import type { PeerContext } from '../../src/transport/peer-context.ts'
import type { SimClock } from './sim-clock.ts'

/** One process, as those who call it find it. */
export interface PeerProcess {
  readonly clock: SimClock
  readonly context: PeerContext
  readonly handlers: PeerHandlers
}

export interface SimPeersOptions {
  readonly clock: SimClock
  readonly context: PeerContext
  /** The process that listens under a name now; undefined: the connection is refused. */
  readonly find: (node: NodeId) => PeerProcess | undefined
  /** The node at a peer address. */
  readonly nodeAt: (address: string) => NodeId | undefined
  /** How long a packet takes from one node to another; undefined: it is lost. Asked once each way. */
  readonly travelMs: (from: NodeId, to: NodeId) => number | undefined
}

/** What the caller is told when nobody answers. */
type Silence = 'unknown-outcome' | 'unavailable'

export class SimPeers implements PeerCalls {
  readonly #options: SimPeersOptions
  /** Ends a call that waits for its answer. */
  readonly #pending = new Set<() => void>()
  #isClosed = false

  constructor(options: SimPeersOptions) {
    this.#options = options
  }

  forward(to: NodeId, request: quorate.v1.IBatchRequest, deadlineMs: number): Promise<quorate.v1.IBatchResponse> {
    const { clock, context } = this.#options
    const onSilence = (request.writes?.length ?? 0) > 0 ? 'unknown-outcome' : 'unavailable'
    const timeoutMs = Math.max(1, Math.floor(deadlineMs - clock.monotonicMs()))
    const timed = { ...request, header: { ...request.header, timeoutMs } }
    return this.#callMember(to, deadlineMs, onSilence, async handlers => {
      try {
        return await handlers.forward(timed)
      } catch (error) {
        return { error: errorToProto(error, context) }
      }
    })
  }

  peerStatus(to: NodeId, deadlineMs: number): Promise<quorate.v1.IPeerStatusResponse> {
    return this.#callMember(to, deadlineMs, 'unavailable', handlers => handlers.peerStatus())
  }

  join(address: string, request: quorate.v1.IJoinRequest, deadlineMs: number): Promise<quorate.v1.IJoinResponse> {
    const { context, nodeAt } = this.#options
    const to = nodeAt(address)
    if (to === undefined) return Promise.reject(new KvError('unavailable', `nobody listens at ${address}`))
    const hello = createHello(context)
    const filled = {
      hello,
      clock: context.hybridClock.acknowledged(),
      rawClock: context.hybridClock.raw(),
      ...request,
    }
    return this.#call(to, deadlineMs, 'unavailable', 'join', filled.hello ?? hello, handlers => handlers.join(filled))
  }

  identify(address: string, deadlineMs: number): Promise<quorate.v1.IHello> {
    const to = this.#options.nodeAt(address)
    if (to === undefined) return Promise.reject(new KvError('unavailable', `nobody listens at ${address}`))
    return this.#exchange(to, deadlineMs, 'unavailable', async target => createHello(target.context))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const end of [...this.#pending]) end()
  }

  #callMember<T>(
    to: NodeId,
    deadlineMs: number,
    onSilence: Silence,
    handle: (handlers: PeerHandlers) => Promise<T>,
  ): Promise<T> {
    const { context } = this.#options
    const storeId = context.knownStore(to)
    if (storeId === undefined) return Promise.reject(new KvError('unavailable', `no address of ${to} is known`))
    return this.#call(to, deadlineMs, onSilence, 'member', createHello(context, { node: to, storeId }), handle)
  }

  #call<T>(
    to: NodeId,
    deadlineMs: number,
    onSilence: Silence,
    purpose: 'member' | 'join',
    hello: quorate.v1.IHello,
    handle: (handlers: PeerHandlers) => Promise<T>,
  ): Promise<T> {
    return this.#exchange(to, deadlineMs, onSilence, async target => {
      const verdict = judgeHello(hello, target.context, purpose)
      // Who refuses a stream of forwards was told nothing of what they ask.
      if (verdict.kind === 'refused')
        throw new KvError(purpose === 'join' ? verdict.code : 'unavailable', verdict.refusal)
      return handle(target.handlers)
    })
  }

  /** There and back; `answer` runs in the process that is asked. */
  #exchange<T>(
    to: NodeId,
    deadlineMs: number,
    onSilence: Silence,
    answer: (target: PeerProcess) => Promise<T>,
  ): Promise<T> {
    const { clock, context, find, travelMs } = this.#options
    const own = context.identity().node
    const leftMs = deadlineMs - clock.monotonicMs()
    if (this.#isClosed || leftMs <= 0)
      return Promise.reject(new KvError('unavailable', `no time was left to ask ${to}`))
    return new Promise<T>((resolve, reject) => {
      const fail = (why: string): void => {
        over()
        reject(new KvError(onSilence, why))
      }
      const end = (): void => fail(`the link to ${to} was closed`)
      const timer = clock.setTimer(leftMs, () => fail(`no answer from ${to} in time`))
      const over = (): void => {
        timer.cancel()
        this.#pending.delete(end)
      }
      this.#pending.add(end)
      /** On this process's clock: a dead one hears nothing, a paused one later. */
      const back = (settle: () => void): void => {
        const ms = travelMs(to, own)
        if (ms !== undefined)
          clock.arriveAfter(ms, () => {
            over()
            settle()
          })
      }
      const ms = travelMs(own, to)
      if (ms === undefined) return
      const target = find(to)
      if (target === undefined) {
        back(() => reject(new KvError('unavailable', `${to} refused the connection`)))
        return
      }
      target.clock.arriveAfter(ms, () => {
        answer(target).then(
          value => back(() => resolve(value)),
          (error: unknown) => back(() => reject(asKvError(error))),
        )
      })
    })
  }
}

function asKvError(error: unknown): KvError {
  return isKvError(error) ? error : new KvError('internal', String(error), { cause: error })
}
