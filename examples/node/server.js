// A web app to try the platform with.
const http = require('node:http')
const colors = require('picocolors').createColors(true)

const port = process.env.PORT || 5000
const server = http.createServer((request, response) => {
  console.log(colors.green(request.method), request.url)
  response.setHeader('Content-Type', 'text/plain; charset=utf-8')
  response.end(`Hello from Node.js ${process.version} in ${process.env.DYNO || 'no dyno'}.\n`)
})
server.listen(port, () => console.log(`listening on port ${port}`))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
