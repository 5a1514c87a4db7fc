import quorate = require('quorate')

const client: quorate.Client = quorate.connect('quorate://127.0.0.1:7101')
 client.close()
