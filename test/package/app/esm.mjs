import { connect } from 'quorate'
import { connect as alias } from 'quorate/client'

if (alias !== connect) throw new Error('quorate/client is not quorate')
const client = connect(process.argv[2])
await client.put('greeting', 'hello')
console.log(await client.getText('greeting'))
client.close()
