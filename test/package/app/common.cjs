const { connect } = require('quorate')

async function main() {
  const client = connect(process.argv[2])
  await client.put('greeting', 'hello')
  console.log(await client.getText('greeting'))
  client.close()
}
void main()
