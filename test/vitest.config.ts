// Everything but the chaos suite: that one needs the machine for itself, and has a configuration of its own beside it.

import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: join(import.meta.dirname, '..'),
    include: ['test/**/*.test.ts'],
    exclude: ['test/chaos/**'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
