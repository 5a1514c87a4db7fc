#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=131072 node --max-semi-space-size=8 --heap-growing-percent=1000
// The launcher: runs the sources in a checkout, and what was built from them in a package (Node refuses to strip types
// under node_modules). It also sizes libuv's pool, which has to happen before anything uses it.

import { existsSync } from 'node:fs'

process.env.UV_THREADPOOL_SIZE ??= '8'

const source = new URL('./main.ts', import.meta.url)
const built = new URL('../dist/src/main.js', import.meta.url)
const isInstalled = import.meta.url.includes('/node_modules/')
try {
  await import(!isInstalled && existsSync(source) ? source.href : built.href)
} catch (error) {
  if (!isInstalled || error?.code !== 'ERR_MODULE_NOT_FOUND') throw error
  process.stderr.write(
    `quorate: ${error.message}. This installation holds the client alone, as --omit=optional leaves it: ` +
      'install quorate without that option to run nodes and the command line.\n',
  )
  process.exitCode = 2
}
