// gRPC server reflection, behind a flag: its library is loaded only then, since it brings a second protobufjs.

import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Server } from '@grpc/grpc-js'
import { KvError } from '../base/errors.ts'

export async function addReflection(server: Server): Promise<void> {
  const [{ ReflectionService }, { default: protobuf }] = await Promise.all([
    import('@grpc/reflection'),
    import('protobufjs'),
    // Adds toDescriptor() to the one above.
    import('protobufjs/ext/descriptor.js'),
  ])
  const folder = protoFolder()
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => (target.startsWith('/') ? target : join(folder, target))
  root.loadSync(
    ['quorate/v1/kv.proto', 'quorate/v1/admin.proto', 'grpc/health/v1/health.proto'].map(name => join(folder, name)),
  )
  root.resolveAll()
  const { file } = (root as unknown as Descriptive).toDescriptor('proto3')
  const fileDescriptorProtos = file.map(each => Buffer.from(each.$type.encode(each).finish()))
  const definition = { quorate: { fileDescriptorProtos } }
  new ReflectionService(definition as unknown as ConstructorParameters<typeof ReflectionService>[0]).addToServer(server)
}

interface Descriptive {
  toDescriptor(edition: string): {
    readonly file: readonly { readonly $type: { encode(message: object): { finish(): Uint8Array } } }[]
  }
}

/** The published package has one more folder between here and `proto`. */
function protoFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'proto')
    if (existsSync(join(candidate, 'quorate')) && readdirSync(candidate).includes('grpc')) return candidate
    if (dirname(folder) === folder) {
      throw new KvError('internal', 'reflection needs the folder `proto` of the package, and it is not there')
    }
  }
}
