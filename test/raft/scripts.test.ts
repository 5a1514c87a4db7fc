// Message scripts: each file in scripts/ is a schedule of messages and what it leads to. UPDATE=1 writes the outcomes
// anew; whoever does so reads them, for the output is the assertion.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runScript } from './script-runner.ts'

const folder = new URL('./scripts/', import.meta.url)
const names = readdirSync(folder).filter(name => name.endsWith('.txt'))

test('there are scripts', () => {
  expect(names.length).toBeGreaterThan(10)
})

for (const name of names) {
  test(`script ${name}`, () => {
    const file = new URL(name, folder)
    const text = readFileSync(file, 'utf8')
    const outcome = runScript(text)
    if (process.env['UPDATE'] === '1') writeFileSync(file, outcome)
    expect(outcome).toBe(process.env['UPDATE'] === '1' ? outcome : text)
  })
}
