import { connect } from 'quorate'
import { parseConfig, startNode } from 'quorate/node'

const any = '127.0.0.1:0'
const node = await startNode(
  parseConfig(
    { node: 'n1', data: process.argv[2], listen: any, 'peer-listen': any, 'http-listen': any, 'log-level': 'error' },
    {},
  ),
)
const client = connect(`quorate://127.0.0.1:${node.clientPort}`)
await client.admin.init()
await client.put('greeting', 'hello')
console.log(await client.getText('greeting'))
client.close()
await node.close()
