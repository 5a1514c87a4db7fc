import { describe, expect, it } from 'vitest'
import { ResourceStack } from '../../src/resource-stack.ts'

describe('a stack of resources', () => {
  const openedIn = (stack: ResourceStack): string[] => {
    const closed: string[] = []
    stack.defer(() => {
      closed.push('first')
    })
    stack.use({
      async [Symbol.asyncDispose]() {
        closed.push('second')
      },
    })
    return closed
  }

  it('closes the newest first, once', async () => {
    const stack = new ResourceStack()
    const closed = openedIn(stack)
    await stack[Symbol.asyncDispose]()
    await stack[Symbol.asyncDispose]()
    expect(closed).toEqual(['second', 'first'])
  })

  it('closes the others when one fails, and tells of the failure', async () => {
    const stack = new ResourceStack()
    const closed = openedIn(stack)
    const fail = (why: string) => () => Promise.reject(new Error(why))
    stack.defer(fail('stuck'))
    await expect(stack[Symbol.asyncDispose]()).rejects.toThrow('stuck')
    expect(closed).toEqual(['second', 'first'])
    stack.defer(fail('one'))
    stack.defer(fail('two'))
    await expect(stack[Symbol.asyncDispose]()).rejects.toMatchObject({
      errors: [{ message: 'two' }, { message: 'one' }],
    })
  })

  it('closes nothing of what it has given away', async () => {
    const stack = new ResourceStack()
    const closed = openedIn(stack)
    const moved = stack.move()
    await stack[Symbol.asyncDispose]()
    expect(closed).toEqual([])
    await moved[Symbol.asyncDispose]()
    expect(closed).toEqual(['second', 'first'])
  })
})
