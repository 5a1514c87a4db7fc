// Five nodes on this machine as background processes, run by `make cluster` and its kin. Every step is idempotent: what
// runs is left alone, what is missing is started. It knows nodes only through their command line and the SDK.

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import Table from 'cli-table3'
import { checkout, clusterUrl, findNode, type LocalNode, nodes, peerProxy } from './local-cluster-layout.ts'
import { type Background, ensureRunning, isPaused, pidOf, signal, stop, until } from './local-cluster-processes.ts'
import { ensureProxies, heal, partition, proxyProcess } from './local-cluster-proxies.ts'
import { inspect, type MemberView, prepare, writeOnce } from './local-cluster-client.ts'
import { runtimeEnvironment, runtimeOptions } from './runtime-options.ts'

const startLimitMs = 60_000
const stopLimitMs = 15_000
const logLines = 40

const background = (node: LocalNode): Background => ({ pidFile: node.pidFile, log: node.log, mark: node.data })

/** Whether the nodes that run now were told to talk through proxies: the proxies' process is the record of it. */
const isProxied = () => pidOf(proxyProcess) !== undefined

function startArguments(node: LocalNode, proxied: boolean): string[] {
  const others = nodes.filter(other => other !== node)
  const dial = (other: LocalNode) => (proxied ? peerProxy(node, other) : other.peer)
  return [
    ...runtimeOptions,
    'src/quorate.js',
    'start',
    ...['--node', node.name, '--data', node.data],
    ...['--listen', node.client, '--peer-listen', node.peer, '--http-listen', node.http],
    ...['--join', others.map(dial).join(',')],
    // Five nodes on one disk, to try things out: they need not keep as much of it free each.
    ...['--set', 'diskBallastBytes=16777216'],
    ...(proxied ? ['--advertise', node.clientProxy] : []),
    ...(proxied ? others.flatMap(other => ['--peer', `${other.name}=${dial(other)}`]) : []),
  ]
}

function startNode(node: LocalNode, proxied: boolean): boolean {
  const env = { ...runtimeEnvironment, ...process.env }
  return ensureRunning(background(node), process.execPath, startArguments(node, proxied), { cwd: checkout, env })
}

async function start(wantProxies: boolean): Promise<void> {
  const running = nodes.filter(node => pidOf(background(node)) !== undefined)
  if (running.length > 0 && wantProxies !== isProxied()) {
    throw new Error(
      `the cluster runs ${wantProxies ? 'without' : 'with'} Toxiproxy: \`make cluster-stop\` first, then start it as you want it`,
    )
  }
  if (wantProxies) await ensureProxies()
  for (const node of nodes) if (startNode(node, wantProxies)) console.log(`started ${node.name}`)
  await until('the nodes to answer', startLimitMs, healthy)
  await prepare(clusterUrl(wantProxies))
  const view = await until('five voters', startLimitMs, async () => {
    const seen = await inspect(clusterUrl(wantProxies))
    return seen.filter(member => member.role === 'voter').length === nodes.length ? seen : undefined
  })
  await writeOnce(clusterUrl(wantProxies))
  printTable(view)
  printHints(wantProxies)
}

/** Every node that is not paused answers on its HTTP port; one that has died says so in its log. */
async function healthy(): Promise<true | undefined> {
  for (const node of nodes.filter(candidate => !isPaused(background(candidate)))) {
    if (pidOf(background(node)) === undefined) {
      printLog(node)
      console.error(`${node.name} has ended; its log is above, and whole in ${node.log}`)
      process.exit(1)
    }
    const response = await fetch(`http://${node.http}/livez`, { signal: AbortSignal.timeout(1_000) })
    if (!response.ok) return undefined
  }
  return true
}

async function status(): Promise<void> {
  const view = await inspect(clusterUrl(isProxied())).catch((error: unknown) => {
    console.error(`the cluster does not answer: ${error instanceof Error ? error.message : String(error)}`)
    return []
  })
  printTable(view)
  if (view.length === 0) process.exitCode = 3
}

function printTable(view: readonly MemberView[]): void {
  const table = new Table({
    head: ['node', 'process', 'role', 'applied', 'clients', 'peers', 'http'],
    style: { head: [], border: [] },
  })
  for (const node of nodes) {
    const member = view.find(candidate => candidate.node === node.name)
    const pid = pidOf(background(node))
    const state = pid === undefined ? 'stopped' : isPaused(background(node)) ? `${pid} (paused)` : String(pid)
    const role = member === undefined ? '–' : member.leads ? `leader, term ${member.term}` : member.role
    const client = isProxied() ? `${node.client} via ${node.clientProxy}` : node.client
    table.push([node.name, state, role, member?.applied ?? '–', client, node.peer, node.http])
  }
  console.log(table.toString())
}

function printHints(proxied: boolean): void {
  const hints = [
    ['npx quorate put greeting hello', 'a durable write, through any node'],
    ['npx quorate get greeting', 'a linearizable read'],
    ['npx quorate status', 'leader, term, positions'],
    ['make cluster-kill NODE=n1', 'kill one (or two), and write on'],
    ['make cluster-start NODE=n1', 'it comes back and catches up'],
    ...(proxied ? [['make partition NODES=n1,n2', 'cut two off; `make heal` mends it']] : []),
    ['make cluster-stop', 'the data stays; cluster-wipe deletes it'],
  ]
  console.log('\nfive nodes vote, and a write works. Next:')
  for (const [command = '', meaning = ''] of hints) console.log(`  ${command.padEnd(32)} ${meaning}`)
  if (proxied) console.log(`\nexport QUORATE_URL=${clusterUrl(true)}`)
}

function printLog(node: LocalNode): void {
  if (!existsSync(node.log)) throw new Error(`${node.name} has no log yet`)
  console.log(
    readFileSync(node.log, 'utf8')
      .split('\n')
      .slice(-logLines - 1, -1)
      .join('\n'),
  )
}

async function stopNodes(which: readonly LocalNode[]): Promise<void> {
  const stopped = await Promise.all(
    which.map(async node => ((await stop(background(node), stopLimitMs)) ? node.name : '')),
  )
  const names = stopped.filter(name => name !== '')
  console.log(names.length === 0 ? 'nothing was running' : `stopped ${names.join(', ')}`)
}

function signalNode(node: LocalNode, name: NodeJS.Signals, done: string): void {
  if (!signal(background(node), name)) throw new Error(`${node.name} is not running`)
  console.log(`${done} ${node.name}`)
}

async function main(command: string | undefined, args: readonly string[]): Promise<void> {
  const names = args.filter(argument => !argument.startsWith('--'))
  const one = () => findNode(names[0])
  switch (command) {
    case 'start':
      return start(args.includes('--toxiproxy'))
    case 'status':
      return status()
    case 'stop':
      await stopNodes(nodes)
      await stop(proxyProcess, stopLimitMs)
      return
    case 'wipe': {
      const which = names.length === 0 ? nodes : [one()]
      await stopNodes(which)
      if (names.length === 0) await stop(proxyProcess, stopLimitMs)
      for (const node of which) rmSync(dirname(node.data), { recursive: true, force: true })
      console.log(`wiped ${which.map(node => node.name).join(', ')}`)
      return
    }
    case 'kill':
      return signalNode(one(), 'SIGKILL', 'killed')
    case 'start-node':
      console.log(startNode(one(), isProxied()) ? `started ${one().name}` : `${one().name} is running`)
      return
    case 'pause':
      return signalNode(one(), 'SIGSTOP', 'paused')
    case 'resume':
      return signalNode(one(), 'SIGCONT', 'resumed')
    case 'logs':
      return printLog(one())
    case 'partition':
    case 'heal':
      return changeLinks(command, names[0])
    default:
      throw new Error(
        'usage: local-cluster start|status|stop|wipe|kill|start-node|pause|resume|logs|partition|heal [NODE]',
      )
  }
}

async function changeLinks(command: 'partition' | 'heal', list: string | undefined): Promise<void> {
  if (!isProxied()) throw new Error('this cluster has no proxies: `make cluster-stop`, then `make cluster TOXIPROXY=1`')
  if (command === 'heal') {
    await heal()
    console.log('every link is whole')
    return
  }
  if (list === undefined) throw new Error('say which nodes to cut off: NODES=n1,n2')
  const side = list.split(',').map(findNode)
  console.log(`cut ${await partition(side)} links between ${list} and the others; \`make heal\` mends them`)
}

try {
  await main(process.argv[2], process.argv.slice(3))
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
