// Runs a script: commands, `----`, and what they must print, up to an empty line. Messages wait in one queue, oldest
// first, until a command delivers or drops them; writes wait until one flushes them. So a script is a schedule.
//
//   replica ID voters=1,2,3 [learners=4] [terms=1,1,4] [term=4] [vote=2] [commit=2]   before anything else
//   campaign|crash|restart|status|log|truncate ID       tick ID [COUNT]       propose ID TEXT
//   change ID add-voter=4 remove=1 [explicit|auto]      leave ID    read ID    transfer ID TO    reads ID fail|work
//   ready ID [COUNT]    flush ID [COUNT]    apply ID [COUNT]
//   deliver|drop [from=1] [to=2] [kind=append-entries] [count=1]
//   inject ID append from=1 term=3 after=1/1 entries=2/1,3/3 commit=1 | matched from=3 term=4 index=2 | vote from=5 term=1
//   settle [ID...] [quiet]      everything, among these replicas, until nothing happens any more

import { asIndex, asReplicaId, asTerm, type ReplicaId } from '../../src/base/ids.ts'
import { configurationOf } from '../../src/raft/configuration.ts'
import type {
  ConfigurationChange,
  ConfigurationStep,
  Entry,
  Message,
  ProposeResult,
  Ready,
} from '../../src/raft/types.ts'
import { emptyImage, Host, optionsOf, type Packet } from './host.ts'
import { configurationText, entryText, packetText, statusText } from './script-text.ts'

const noData = new Uint8Array(0)

export function runScript(text: string): string {
  const runner = new ScriptRunner()
  const blocks = text.split(/\n\n+/).filter(block => block.trim() !== '')
  return `${blocks.map(block => runner.runBlock(block)).join('\n\n')}\n`
}

class ScriptRunner {
  readonly #hosts = new Map<ReplicaId, Host>()
  #packets: Packet[] = []
  #output: string[] = []

  /** Comments and commands stay; what they print is made anew. A block of comments alone is prose. */
  runBlock(block: string): string {
    const lines = block.split('\n')
    const end = lines.indexOf('----')
    const head = (end < 0 ? lines : lines.slice(0, end)).filter(line => line.trim() !== '')
    const commands = head.filter(line => !line.startsWith('#'))
    if (commands.length === 0) return head.join('\n')
    this.#output = []
    for (const command of commands) this.#run(command.trim().split(/\s+/))
    if (this.#output.length === 0) this.#output.push('ok')
    return [...head, '----', ...this.#output].join('\n')
  }

  #print(line: string): void {
    this.#output.push(line)
  }

  #host(word: string | undefined): Host {
    const host = this.#hosts.get(asReplicaId(Number(word)))
    if (host === undefined) throw new Error(`no replica ${word}`)
    return host
  }

  #run([name, ...words]: string[]): void {
    switch (name) {
      case 'replica':
        return this.#addReplica(words)
      case 'deliver':
      case 'drop':
        return this.#take(words, name === 'deliver')
      case 'settle':
        return this.#settle(words)
      default:
        return this.#runOn(this.#host(words[0]), name ?? '', words.slice(1))
    }
  }

  #runOn(host: Host, name: string, words: string[]): void {
    const { raft } = host
    const count = words[0] === undefined ? undefined : Number(words[0])
    switch (name) {
      case 'campaign':
        return raft.campaign()
      case 'tick':
        for (let i = 0; i < (count ?? 1); i++) raft.tick()
        return
      case 'propose':
        return this.#printResult(raft.propose(Buffer.from(words.join(' '))))
      case 'change':
        return this.#printResult(raft.proposeConfiguration(parseChange(words)))
      case 'leave':
        return this.#printResult(raft.proposeConfiguration(parseChange([])))
      case 'transfer':
        return this.#printResult(raft.transferLeadership(asReplicaId(count ?? 0)))
      case 'read': {
        const result = raft.readIndex()
        this.#print(result.kind === 'accepted' ? `accepted #${result.context}` : result.kind)
        return
      }
      case 'inject':
        return this.#inject(host, words)
      case 'reads':
        host.log.failsReads = words[0] === 'fail'
        return
      case 'crash':
        return host.crash()
      case 'restart':
        return host.restart()
      case 'truncate':
        host.flushEngine()
        return host.truncate(0)
      case 'status':
        return this.#print(statusText(raft))
      case 'log':
        return this.#printLog(host)
      case 'ready':
        for (let i = 0; i < (count ?? 1); i++) this.#takeReady(host)
        return
      case 'flush':
        return this.#flush(host, count)
      case 'apply':
        return host.apply(count)
      default:
        throw new Error(`unknown command ${name}`)
    }
  }

  /** A message from a replica that is not in the script. */
  #inject(host: Host, words: string[]): void {
    const options = parseOptions(words)
    const from = asReplicaId(Number(options.get('from')))
    const term = asTerm(Number(options.get('term')))
    const common = { from, to: host.id, term }
    const [previousIndex = 0, previousTerm = 0] = numbers(options.get('after')?.replace('/', ','))
    const packet: Message =
      words[0] === 'append'
        ? {
            kind: 'append-entries',
            ...common,
            previousIndex: asIndex(previousIndex),
            previousTerm: asTerm(previousTerm),
            commit: asIndex(Number(options.get('commit') ?? 0)),
            entries: (options.get('entries') ?? '').split(',').filter(Boolean).map(parseEntry),
          }
        : words[0] === 'matched'
          ? {
              kind: 'append-entries-response',
              ...common,
              index: asIndex(Number(options.get('index'))),
              rejected: false,
              hintIndex: asIndex(0),
              hintTerm: asTerm(0),
            }
          : {
              kind: 'request-vote',
              ...common,
              preVote: false,
              lastIndex: asIndex(99),
              lastTerm: asTerm(99),
              transfer: false,
            }
    this.#print(packetText(packet))
    host.step(packet)
  }

  #addReplica(words: string[]): void {
    const id = asReplicaId(Number(words[0]))
    const options = parseOptions(words)
    const terms = numbers(options.get('terms'))
    const entries = terms.map((term, i): Entry => {
      return { term: asTerm(term), index: asIndex(i + 1), kind: 'command', data: Buffer.from(`${term}`) }
    })
    const configuration = configurationOf(
      numbers(options.get('voters')).map(asReplicaId),
      numbers(options.get('learners')).map(asReplicaId),
    )
    const host = new Host(
      optionsOf(id, () => 0),
      {
        image: { ...emptyImage, configuration },
        entries,
        hardState: {
          term: asTerm(Number(options.get('term') ?? terms.at(-1) ?? 0)),
          vote: asReplicaId(Number(options.get('vote') ?? 0)),
          commit: asIndex(Number(options.get('commit') ?? 0)),
        },
      },
    )
    host.onSend = packet => this.#packets.push(packet)
    host.onApply = (entry, image) => {
      if (entry.kind === 'empty') return
      const after = entry.kind === 'configuration' ? `: ${configurationText(image.configuration)}` : ''
      this.#print(`${id}: applied ${entryText(entry)}${after}`)
    }
    this.#hosts.set(id, host)
  }

  #printResult(result: ProposeResult): void {
    if (result.kind === 'accepted') this.#print(`accepted ${result.index}/${result.term}`)
    else this.#print(result.kind === 'refused' ? `refused: ${result.reason}` : result.kind)
  }

  #printLog(host: Host): void {
    const { log } = host
    const entries: string[] = []
    for (let index = log.truncatedIndex + 1; index <= log.lastIndex; index++) {
      entries.push(entryText(log.entry(asIndex(index)) as Entry))
    }
    const start = log.truncatedIndex > 0 ? `after ${log.truncatedIndex}/${log.term(log.truncatedIndex)} ` : ''
    this.#print(`${host.id}: ${start}[${entries.join(', ')}]`)
  }

  #takeReady(host: Host): void {
    let ready: Ready
    try {
      ready = host.takeReady()
    } catch (error) {
      this.#print(`${host.id}: ${error instanceof Error ? error.message : error}`)
      return
    }
    this.#printReady(host, ready)
    const { hardState, mustSync, entries, snapshot, messages, messagesAfterFlush, committed } = ready
    if (snapshot !== undefined) this.#print(`   resets the log to ${snapshot.index}/${snapshot.term}`)
    if (hardState !== undefined) {
      this.#print(
        `   writes t${hardState.term} vote=${hardState.vote} commit=${hardState.commit}${mustSync ? '' : ', no sync'}`,
      )
    }
    if (entries.length > 0) this.#print(`   writes [${entries.map(entryText).join(', ')}]`)
    for (const message of messages) this.#print(`   now   ${packetText(message)}`)
    for (const message of messagesAfterFlush) this.#print(`   after ${packetText(message)}`)
    if (committed.length > 0) this.#print(`   committed [${committed.map(entryText).join(', ')}]`)
  }

  /** What a Ready says to whoever watches, beside the work. */
  #printReady(host: Host, { softState, readStates }: Ready): void {
    if (softState !== undefined)
      this.#print(`${host.id}: ${softState.role} t${softState.term} leader=${softState.leader}`)
    for (const { context, index, confirmed } of readStates) {
      this.#print(`${host.id}: read #${context} ${confirmed ? `at ${index}` : 'not confirmed'}`)
    }
  }

  #flush(host: Host, count: number | undefined): void {
    const before = this.#packets.length
    host.flush(count)
    for (const packet of this.#packets.slice(before)) this.#print(`sends ${packetText(packet)}`)
  }

  #take(words: string[], isDelivered: boolean): void {
    const options = parseOptions(words)
    const { from, to, kind, count } = Object.fromEntries(options)
    let left = count === undefined ? Number.POSITIVE_INFINITY : Number(count)
    const staying: Packet[] = []
    const taken: Packet[] = []
    for (const packet of this.#packets) {
      const fits =
        (from === undefined || numbers(from).includes(packet.from)) &&
        (to === undefined || numbers(to).includes(packet.to)) &&
        (kind === undefined || kind === packet.kind)
      if (fits && left-- > 0) taken.push(packet)
      else staying.push(packet)
    }
    this.#packets = staying
    for (const packet of taken) {
      this.#print(`${isDelivered ? '' : 'dropped '}${packetText(packet)}`)
      if (isDelivered) this.#deliver(packet)
      else this.#reportStream(packet, false)
    }
  }

  #deliver(packet: Packet): void {
    this.#host(`${packet.to}`).step(packet)
    this.#reportStream(packet, true)
  }

  #reportStream(packet: Packet, installed: boolean): void {
    if (packet.kind !== 'snapshot-stream') return
    this.#host(`${packet.from}`).raft.snapshotReported(packet.to, packet.image.applied, installed)
  }

  #settle(words: string[]): void {
    const named = words.filter(word => /^\d+$/.test(word)).map(Number)
    const hosts = [...this.#hosts.values()].filter(host => named.length === 0 || named.includes(host.id))
    const printed = this.#output.length
    for (let turn = 0; turn < 1000; turn++) {
      let isQuiet = true
      for (const host of hosts) {
        while (host.raft.hasReady() || host.writes.length > 0 || host.toApply.length > 0) {
          isQuiet = false
          if (host.raft.hasReady()) this.#printReady(host, host.takeReady())
          host.flush()
          host.apply()
        }
      }
      const due = this.#packets.filter(packet => hosts.some(host => host.id === packet.to))
      this.#packets = this.#packets.filter(packet => !due.includes(packet))
      for (const packet of due) {
        isQuiet = false
        this.#print(`  ${packetText(packet)}`)
        this.#deliver(packet)
      }
      if (isQuiet) {
        if (words.includes('quiet')) this.#output.length = printed
        return
      }
    }
    throw new Error('it never settles')
  }
}

function parseOptions(words: readonly string[]): Map<string, string> {
  const pairs = words.filter(word => word.includes('=')).map(word => word.split('=') as [string, string])
  return new Map(pairs)
}

function numbers(text: string | undefined): number[] {
  return text === undefined || text === '' ? [] : text.split(',').map(Number)
}

function parseEntry(place: string): Entry {
  const [index = 0, term = 0] = place.split('/').map(Number)
  return { term: asTerm(term), index: asIndex(index), kind: 'command', data: Buffer.from(`${term}`) }
}

function parseChange(words: readonly string[]): ConfigurationChange {
  const steps: ConfigurationStep[] = []
  let joint: ConfigurationChange['joint'] = 'auto-if-needed'
  for (const word of words) {
    const [kind, replica] = word.split('=')
    if (word === 'explicit') joint = 'explicit-leave'
    else if (word === 'auto') joint = 'auto-leave'
    else if (kind === 'add-voter' || kind === 'add-learner' || kind === 'remove') {
      steps.push({ kind, replica: asReplicaId(Number(replica)) })
    } else throw new Error(`unknown step ${word}`)
  }
  return { steps, joint, context: noData }
}
