// A client that nobody closed does not keep its process alive, whatever became of its last call; one with a call under way does.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Server, type Socket, createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FakeKvCluster, startFakeKvCluster } from '../support/fake-kv-server.ts'
import { until } from '../support/until.ts'

const client = join(import.meta.dirname, '../../src/client/client.ts')
const children: ChildProcess[] = []
let cluster: FakeKvCluster

interface Script {
  readonly child: ChildProcess
  /** What it has printed so far. */
  readonly said: () => string
  readonly ended: Promise<unknown>
}

/** Runs `body` in a process of its own, with `connect` and the `url`; it prints `done` at the end of the body. */
function run(body: string, url = cluster.url): Script {
  const source = `
    import { connect } from ${JSON.stringify(client)}
    const url = ${JSON.stringify(url)}
    ${body}
    console.log('done')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  return { child, said: () => said, ended: once(child, 'exit') }
}

/** From the last line of the script to the end of its process, in milliseconds. */
async function lingering({ said, ended }: Script): Promise<number> {
  await until('the script is done', () => said().includes('done'))
  const doneMs = performance.now()
  await ended
  return performance.now() - doneMs
}

beforeEach(async () => {
  cluster = await startFakeKvCluster(3)
  for (let i = 0; i < 20; i++) cluster.data.set(`k${i}`, [version(`v${i}`)])
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await cluster[Symbol.asyncDispose]()
})

function version(value: string) {
  return { value: Buffer.from(value), timestamp: 1, created: 1, version: 1, deleted: false }
}

/** A server that accepts connections and says nothing. */
async function openHole(): Promise<{ readonly server: Server; readonly address: string; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { server, address: `127.0.0.1:${port}`, close }
}

/** Far less than a deadline that stands, a connection that is dialled again, or an idle time-out. */
const lingeringMsMax = 2_000

describe('a client that nobody closed lets its process end', () => {
  test.each([
    ['was never used', 'connect(url)'],
    ['has put', `await connect(url).put('a', '1')`],
    ['has put with a long deadline', `await connect(url).put('a', '1', { timeoutMs: 60_000 })`],
    ['has read', `await connect(url).get('k1')`],
    [
      'has read from any node',
      `const c = connect(url); for (let i = 0; i < 3; i++) await c.get('k1', { consistency: 'stale' })`,
    ],
    [
      'has read much at once',
      `const c = connect(url); await Promise.all(Array.from({ length: 500 }, () => c.get('k1')))`,
    ],
    ['has scanned everything', 'for await (const item of connect(url).scan({})) void item'],
    ['has left a scan', 'for await (const item of connect(url).scan({})) break'],
    ['has forgotten a scan', 'const s = connect(url).scan({}); for (let i = 0; i < 5; i++) await s.next()'],
    ['has counted', 'await connect(url).count({})'],
    ['has asked for the status', 'await connect(url).admin.status()'],
    ['is one of two', `const [a, b] = [connect(url), connect(url)]; await a.put('a', '1'); await b.get('a')`],
    ['was disposed of', `{ await using c = connect(url); await c.put('a', '1') }`],
  ])('when it %s', async (_, body) => {
    expect(await lingering(run(body))).toBeLessThan(lingeringMsMax)
  })

  test('when nobody was there', async () => {
    const script = run(
      `await connect(url).put('a', '1', { timeoutMs: 300 }).catch(e => console.log(e.code))`,
      'quorate://127.0.0.1:1',
    )
    expect(await lingering(script)).toBeLessThan(lingeringMsMax)
    expect(script.said()).toContain('unavailable')
  })

  test('when one of its addresses never answers', async () => {
    const hole = await openHole()
    try {
      const body = `for (let i = 0; i < 4; i++) await connect(url).put('a', String(i))`
      const script = run(body, `quorate://${hole.address},${cluster.node('n1').address}`)
      expect(await lingering(script)).toBeLessThan(lingeringMsMax)
    } finally {
      hole.close()
    }
  })

  test('when its call was given up while an answer was due', async () => {
    cluster.verdict = () => 'swallow'
    const body = `
      const c = connect(url, { attemptTimeoutMs: 60_000 })
      const signal = AbortSignal.timeout(500)
      for (const call of [c.put('a', '1', { signal }), c.get('a', { signal })]) await call.catch(e => console.log(e.code))`
    const script = run(body)
    expect(await lingering(script)).toBeLessThan(lingeringMsMax)
    expect(script.said()).toContain('cancelled\ncancelled')
  })

  test('when the node that it is connected to has stopped', async () => {
    const script = run(`
      const c = connect(url)
      await c.put('a', '1')
      console.log('put')
      await new Promise(resolve => setTimeout(resolve, 1_000))`)
    await until('it has put', () => script.said().includes('put'))
    for (const node of cluster.nodes) cluster.kill(node.name)
    expect(await lingering(script)).toBeLessThan(lingeringMsMax)
  })
})

describe('a call under way keeps its process alive', () => {
  test('until it is answered', async () => {
    let release: () => void = () => undefined
    const slow = new Promise<'answer'>(resolve => {
      release = () => resolve('answer')
    })
    cluster.verdict = () => slow
    const script = run(`connect(url, { attemptTimeoutMs: 60_000 }).put('a', '1').then(() => console.log('put'))`)
    await until('it was asked', () => cluster.batches.length > 0)
    await until('the script is done', () => script.said().includes('done'))
    // Longer than a client without a call would take to let go.
    const begunMs = performance.now()
    await until('a while has passed', () => performance.now() - begunMs > 700)
    expect(script.child.exitCode).toBeNull()
    release()
    await script.ended
    expect(script.said()).toContain('put')
  })

  test('while nobody can be reached, until its deadline', async () => {
    const body = `connect(url).get('a', { timeoutMs: 1_500 }).catch(error => console.log(error.code))`
    const script = run(body, 'quorate://127.0.0.1:1')
    await script.ended
    expect(script.said()).toBe('done\nunavailable\n')
  })
})

test('a client that has rested serves the next call, and a scan goes on where it was', async () => {
  const script = run(`
    const c = connect(url)
    const pause = () => new Promise(resolve => setTimeout(resolve, 400))
    await c.put('a', '1')
    await pause()
    console.log(await c.getText('a'))
    const keys = []
    for await (const { key } of c.scan({ prefix: 'k' })) {
      keys.push(Buffer.from(key).toString())
      if (keys.length % 7 === 0) await pause()
    }
    console.log(keys.length, new Set(keys).size)`)
  await script.ended
  expect(script.said()).toBe('1\n20 20\ndone\n')
})
