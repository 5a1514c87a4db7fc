// The files of the log, as a port: the adapter is over the file system, the fake can crash (DESIGN.md 6, 16).
//
// Callers owe: at most one write at a time in a file; bytes handed over are not changed until the write resolves.
// Implementers owe: when `write` resolves, the bytes are on disk (O_DSYNC); when it rejects, nothing is known about
// them. A file appears under its name whole or not at all. Nothing is retried.

export interface LogFile {
  /** Its length, fixed when it was created. */
  readonly bytes: number
  /** Writes the first `length` bytes of `data` at `offset`; durable when it resolves. */
  write(data: Uint8Array, length: number, offset: number): Promise<void>
  /** Fills `target` from `offset` on, synchronously. Throws when fewer bytes are there, or the disk fails. */
  read(target: Uint8Array, offset: number): void
  close(): Promise<void>
}

export interface LogFiles {
  /** Makes the directory where it is missing, readable by its owner alone, durably. */
  makeDirectory(path: string): Promise<void>
  /** The names in a directory, in no order. */
  list(directory: string): Promise<readonly string[]>
  /**
   * A new file of `bytes` zeros that begins with `head`, its blocks allocated and written. When it resolves, the file
   * and its name are durable; after a crash before that, it is there whole or not at all (an unfinished one may be
   * left under a name that ends in `unfinishedSuffix`).
   */
  create(path: string, head: Uint8Array, bytes: number): Promise<LogFile>
  /**
   * The file `from`, which nobody needs, becomes the one at `path`: as long, `head` at its begin, and behind that what it
   * held. When it resolves, all of that is durable. After a crash before that, its bytes are unchanged where it still has
   * its old name; it may be left as an unfinished one, or be gone.
   */
  recycle(from: string, path: string, head: Uint8Array): Promise<LogFile>
  open(path: string): Promise<LogFile>
  /** Gone for good only after `syncDirectory`. */
  unlink(path: string): Promise<void>
  syncDirectory(directory: string): Promise<void>
}

export const unfinishedSuffix = '.new'
