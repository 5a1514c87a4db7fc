// What is published, as its users meet it: packed from here, installed elsewhere, type-checked strictly, and run on the
// oldest Node that it claims. Needs npm's registry, as every installation does.

import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../support/free-ports.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  engines: { node: string }
  devDependencies: Record<string, string>
  optionalDependencies: Record<string, string>
}
const oldest = /^\^(\d+\.\d+)/.exec(manifest.engines.node)![1]!
/** Without what this test itself was started by: npm tells its scripts much in the environment. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(?!config_(registry|cafile))/i.test(name)),
)

let directory: string
let app: string
let sdkOnly: string
let oldNode: string

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd,
    env: environment,
    timeout: 240_000,
  })
  return stdout
}

async function outputOf(program: string, args: string[], cwd: string): Promise<unknown> {
  try {
    return { code: 0, ...(await run(program, args, { cwd, env: environment, timeout: 60_000 })) }
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string }
    return { code, stdout, stderr }
  }
}

function makeApp(name: string): string {
  const path = join(directory, name)
  cpSync(join(import.meta.dirname, 'app'), path, { recursive: true })
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  return path
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-package-'))
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await npm(root, 'pack', '--pack-destination', directory)
  const tarball = join(directory, `quorate-${manifest.version}.tgz`)
  app = makeApp('app')
  await npm(app, 'install', tarball, `node-${process.platform}-${process.arch}@${oldest}`)
  oldNode = join(app, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
  sdkOnly = makeApp('sdk-only')
  await npm(sdkOnly, 'install', '--omit=optional', tarball)
}, 300_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe('the package', () => {
  it('holds what was built, and the protocol', () => {
    const installed = join(app, 'node_modules/quorate')
    expect(readdirSync(installed).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json', 'proto', 'src'])
    expect(readdirSync(join(installed, 'src'))).toEqual(['quorate.js'])
  })

  it('has types that strict programs pass with, this package’s own declarations checked as well', async () => {
    const tsc = join(root, 'node_modules/.bin/tsc')
    expect(await outputOf(process.execPath, [tsc, '-p', '.'], app)).toEqual({ code: 0, stdout: '', stderr: '' })
  }, 60_000)

  it(`runs a node and the client on Node ${oldest}, the oldest that it claims`, async () => {
    expect((await run(oldNode, ['--version'])).stdout.trim()).toMatch(new RegExp(`^v${oldest.replace('.', '\\.')}\\.`))
    const [listen, peer, http] = await freePorts(3)
    const launcher = join(app, 'node_modules/quorate/src/quorate.js')
    const node = spawn(
      oldNode,
      [launcher, 'start', '--node', 'p1', '--data', join(directory, 'p1')].concat(
        ['--listen', `127.0.0.1:${listen}`, '--peer-listen', `127.0.0.1:${peer}`],
        ['--http-listen', `127.0.0.1:${http}`],
      ),
      { env: environment, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    let said = ''
    node.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    node.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = new Promise<number | null>(resolve => node.on('exit', resolve))
    try {
      await until('the node is up', () => said.includes('the node is up') || node.exitCode !== null)
      expect(node.exitCode, said).toBeNull()
      const url = `quorate://127.0.0.1:${listen}`
      await run(oldNode, [launcher, 'init', '--connect', url], { env: environment })
      for (const [file, from] of [
        ['esm.mjs', app],
        ['common.cjs', app],
        ['esm.mjs', sdkOnly],
      ] as const) {
        const { stdout } = await run(oldNode, [file, url], { cwd: from, timeout: 20_000 })
        expect(stdout.trim(), `${file} in ${from}`).toBe('hello')
      }
    } finally {
      node.kill('SIGTERM')
      expect(await ended, said).toBe(0)
    }
    expect(said).toContain('the node has stopped')
  }, 90_000)

  it('embeds a node in a program, on the oldest Node too', async () => {
    const { stdout } = await run(oldNode, ['embedded.mjs', join(directory, 'embedded')], { cwd: app, timeout: 30_000 })
    expect(stdout.trim().split('\n').at(-1)).toBe('hello')
  }, 60_000)

  it('is the client alone without its optional parts, and says so where a node is asked for', async () => {
    expect(readdirSync(join(sdkOnly, 'node_modules'))).not.toContain('classic-level')
    const launcher = join(sdkOnly, 'node_modules/quorate/src/quorate.js')
    expect(await outputOf(oldNode, [launcher, 'status'], sdkOnly)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/the client alone.*--omit=optional/),
    })
  })

  it('has its optional parts here as well: npm under an older Node leaves out optional ones', () => {
    expect(manifest.devDependencies).toMatchObject(manifest.optionalDependencies)
  })
})
