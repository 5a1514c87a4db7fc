// Much for the engine, a batch at a time: one is written while the next is filled, since each waits for the disk twice.

import type { EngineBatchOperation } from '../engine/engine.ts'

export interface BatchLimits {
  readonly operations: number
  readonly bytes: number
}

/** `fill` adds what is to be written, and waits for each. However it ends, no write is under way when this has ended. */
export async function writeInBatches(
  write: (batch: readonly EngineBatchOperation[]) => Promise<void>,
  limits: BatchLimits,
  fill: (add: (operation: EngineBatchOperation) => Promise<void>) => Promise<void>,
): Promise<void> {
  let batch: EngineBatchOperation[] = []
  let bytes = 0
  let writing: Promise<void> = Promise.resolve()
  const send = async (): Promise<void> => {
    await writing
    writing = write(batch)
    // Whoever writes next, or ends, hears of a failure.
    writing.catch(() => {})
    batch = []
    bytes = 0
  }
  try {
    await fill(async operation => {
      batch.push(operation)
      bytes += operation.value?.length ?? 0
      if (batch.length >= limits.operations || bytes >= limits.bytes) await send()
    })
    if (batch.length > 0) await send()
    await writing
  } finally {
    await writing.catch(() => {})
  }
}
