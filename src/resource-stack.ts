// What has been opened so far, to be closed in the opposite order. The platform's AsyncDisposableStack would do; Node 22, which
// a node may run on, lacks it.

/** Closes whatever was given to it, the newest first; one that fails does not keep the others open. */
export class ResourceStack implements AsyncDisposable {
  #closers: (() => void | Promise<void>)[] = []

  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    this.#closers.push(async () => resource[Symbol.asyncDispose]())
    return resource
  }

  defer(close: () => void | Promise<void>): void {
    this.#closers.push(close)
  }

  /** Everything goes to the stack that is returned; this one closes nothing any more. */
  move(): ResourceStack {
    const moved = new ResourceStack()
    moved.#closers = this.#closers
    this.#closers = []
    return moved
  }

  /** Rejects with the failure, or with an AggregateError when there are several. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = []
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length === 1) throw failures[0]
    if (failures.length > 1) throw new AggregateError(failures, 'several resources did not close')
  }
}
