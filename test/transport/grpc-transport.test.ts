import { openGrpcPair } from './grpc-world.ts'
import { transportContract } from './transport-contract.ts'

transportContract('gRPC', async () => {
  const { a, b, fromA, fromB, close } = await openGrpcPair()
  const proxyOf = (from: string) => (from === 'n1' ? fromA : fromB)
  return {
    a,
    b,
    cut: from => proxyOf(from).swallow(),
    heal: from => proxyOf(from).pass(),
    close,
  }
})
