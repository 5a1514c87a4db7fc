// An engine whose writes queue up: the port allows one at a time, and flushes, installs and spools come from different
// places. The queue is bounded by its callers, each of which waits for its own write.

import type { Engine, EngineBatchOperation } from './engine.ts'

/** `onFailure`: a write failed, once; whoever asked for it hears of it as well. */
export function createSerialEngine(engine: Engine, onFailure: (error: unknown) => void = () => {}): Engine {
  let last: Promise<void> = Promise.resolve()
  let isFailed = false
  const failed = (error: unknown): void => {
    if (isFailed) return
    isFailed = true
    onFailure(error)
  }
  const write = (batch: readonly EngineBatchOperation[]): Promise<void> => {
    // After a failed write nothing more is written: the state of the disk is unknown.
    last = last.then(() => engine.write(batch))
    last.catch(failed)
    return last
  }
  return {
    get: key => engine.get(key),
    getPart: (key, start, end) => engine.getPart(key, start, end),
    read: (span, options) => engine.read(span, options),
    snapshot: () => engine.snapshot(),
    stage: (key, value) => engine.stage(key, value),
    dropStaged: () => engine.dropStaged(),
    approximateBytes: span => engine.approximateBytes(span),
    write,
    async close() {
      await last.catch(() => {})
      await engine.close()
    },
  }
}
