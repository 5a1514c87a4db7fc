// Sums what vitest's JSON reporter left in .cache/results, and prints it as the last line of .ci/run. A suite that left
// nothing, and a check that failed without a test of its own (format, lint, types), count as one failure each.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const suites = ['code', 'chaos']
const folder = join(import.meta.dirname, '../../.cache/results')
const somethingFailed = process.argv[2] === '1'

let passed = 0
let failed = 0
let skipped = 0
for (const suite of suites) {
  try {
    const result: unknown = JSON.parse(readFileSync(join(folder, `${suite}.json`), 'utf8'))
    passed += count(result, 'numPassedTests')
    failed += count(result, 'numFailedTests')
    skipped += count(result, 'numPendingTests')
    // A file that cannot be loaded fails as a suite and has no tests to count.
    if (count(result, 'numFailedTests') === 0) failed += count(result, 'numFailedTestSuites')
  } catch (error) {
    console.error(`the suite ${suite} left no result: ${error instanceof Error ? error.message : String(error)}`)
    failed++
  }
}
if (somethingFailed && failed === 0) failed = 1
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)

function count(result: unknown, field: string): number {
  const value = (result as Record<string, unknown>)[field]
  if (typeof value !== 'number') throw new Error(`no ${field} in the result`)
  return value
}
