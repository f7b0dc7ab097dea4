// node echo.mjs PORT: returns every byte. The floor for a lone message through Node's sockets, with no broker behind it.
import { createServer } from 'node:net'

const [port] = process.argv.slice(2)
createServer({ noDelay: true }, (socket) => {
  socket.on('data', (bytes) => socket.write(bytes))
  socket.on('error', () => socket.destroy())
}).listen({ port: Number(port), host: '127.0.0.1', backlog: 1024 })
process.once('SIGTERM', () => process.exit(0))
