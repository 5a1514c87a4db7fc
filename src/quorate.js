#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=131072 node --max-semi-space-size=8 --heap-growing-percent=1000
// The launcher: runs the sources in a checkout, and what was built from them in a package (Node refuses to strip types
// under node_modules). It also sizes libuv's pool, which has to happen before anything uses it.

import { existsSync } from 'node:fs'

process.env.UV_THREADPOOL_SIZE ??= '8'

const source = new URL('./main.ts', import.meta.url)
const built = new URL('../dist/src/main.js', import.meta.url)
const isInstalled = import.meta.url.includes('/node_modules/')
await import(!isInstalled && existsSync(source) ? source.href : built.href)
