// Where libfaketime is: installed, or fetched from Debian's archive into .cache/, where nothing has to be installed for it.

import { execFile } from 'node:child_process'
import { globSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(import.meta.dirname, '../../../.cache/faketime')
const fetchLimitMs = 120_000

/** The path of the shared library. Throws where there is none: clocks that cannot be set would look like clocks that do no harm. */
export async function faketimeLibrary(): Promise<string> {
  const known = find()
  if (known !== undefined) return known
  try {
    mkdirSync(cache, { recursive: true })
    const apt = (...args: string[]) => run('apt-get', args, { cwd: cache, timeout: fetchLimitMs })
    // Without its lists apt knows no package; only root may fetch them.
    await apt('download', 'libfaketime').catch(async () => {
      await apt('update')
      await apt('download', 'libfaketime')
    })
    for (const file of globSync('libfaketime_*.deb', { cwd: cache }))
      await run('dpkg-deb', ['-x', join(cache, file), cache], { timeout: fetchLimitMs })
  } catch (error) {
    throw missing(error)
  }
  const fetched = find()
  if (fetched === undefined) throw missing(undefined)
  return fetched
}

function find(): string | undefined {
  return ['/usr', join(cache, 'usr')].flatMap(root => globSync(`${root}/lib/*/faketime/libfaketime.so.1`))[0]
}

function missing(cause: unknown): Error {
  return new Error('clocks are shifted by libfaketime: install it (Debian: apt-get install faketime)', { cause })
}
