// Toxiproxy for the local cluster: finds or installs the real Go server, and puts one proxy on every directed peer link
// and every client link. A cut is the `timeout` toxic in both directions: bytes vanish, connections stay, as on a broken
// network; removing it resets them.

import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { checkout, type LocalNode, linkName, nodes, peerProxy, proxyServer } from './local-cluster-layout.ts'
import { type Background, ensureRunning, until } from './local-cluster-processes.ts'

const version = 'v2.12.0'
const cacheFolder = join(checkout, '.cache', `toxiproxy-${version}`)
const apiTimeoutMs = 5_000
const run = promisify(execFile)

export const proxyProcess: Background = { ...proxyServer, mark: proxyServer.api.split(':')[1] ?? '' }

/** The server's path: on PATH, or in the cache, where `go install` puts it. Throws when none can be had. */
export async function findToxiproxy(): Promise<string> {
  const cached = join(cacheFolder, 'server')
  const onPath = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'toxiproxy-server'))
  const found = [...onPath, cached].find(isExecutable)
  if (found !== undefined) return found
  const target = `github.com/Shopify/toxiproxy/v2/cmd/server@${version}`
  console.error(`installing ${target} into .cache (once)`)
  try {
    await run('go', ['install', target], { env: { ...process.env, GOBIN: cacheFolder }, timeout: 300_000 })
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    throw new Error(`no toxiproxy-server on the PATH, and \`go install ${target}\` failed: ${reason}`, { cause: error })
  }
  return cached
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`http://${proxyServer.api}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(apiTimeoutMs),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`toxiproxy: ${method} ${path}: ${response.status} ${text.trim()}`)
  return text === '' ? undefined : JSON.parse(text)
}

interface ProxyBody {
  readonly name: string
  readonly listen: string
  readonly upstream: string
}

function allLinks(): ProxyBody[] {
  const peers = nodes.flatMap(from =>
    nodes
      .filter(to => to !== from)
      .map(to => ({ name: linkName(from, to), listen: peerProxy(from, to), upstream: to.peer })),
  )
  const clients = nodes.map(node => ({
    name: `client-to-${node.name}`,
    listen: node.clientProxy,
    upstream: node.client,
  }))
  return [...peers, ...clients]
}

/** Idempotent: proxies that stand already, toxics and all, are left as they are. */
export async function ensureProxies(): Promise<void> {
  const [host = '', port = ''] = proxyServer.api.split(':')
  ensureRunning(proxyProcess, await findToxiproxy(), ['-host', host, '-port', port], { cwd: checkout })
  const standing = await until(
    'toxiproxy',
    10_000,
    async () => (await call('GET', '/proxies')) as Record<string, unknown>,
  )
  const missing = allLinks().filter(link => !(link.name in standing))
  if (missing.length > 0) await call('POST', '/populate', missing)
}

/** Cuts the named nodes off from all others, in both directions; among themselves they still talk, as do the others. */
export async function partition(side: readonly LocalNode[]): Promise<number> {
  const across = nodes.flatMap(from =>
    nodes.filter(to => side.includes(from) !== side.includes(to)).map(to => linkName(from, to)),
  )
  await Promise.all(across.map(cut))
  return across.length
}

async function cut(link: string): Promise<void> {
  const proxy = (await call('GET', `/proxies/${link}`)) as { toxics: readonly { name: string }[] }
  for (const stream of ['upstream', 'downstream']) {
    const name = `cut-${stream}`
    if (proxy.toxics.some(toxic => toxic.name === name)) continue
    await call('POST', `/proxies/${link}/toxics`, { name, type: 'timeout', stream, attributes: { timeout: 0 } })
  }
}

/** Removes every toxic and enables every proxy. */
export async function heal(): Promise<void> {
  await call('POST', '/reset')
}
