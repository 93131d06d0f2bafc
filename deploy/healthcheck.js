/** Ends with 0 if the server that COFFER_LISTEN describes answers, for images that have no curl. */

const listen = process.env.COFFER_LISTEN || '127.0.0.1:3453'
// Who listens everywhere is asked at home.
const here = listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')
try {
  const { status } = await fetch(`http://${here}/healthz`, { signal: AbortSignal.timeout(4000) })
  process.exitCode = status === 200 ? 0 : 1
} catch (error) {
  process.stderr.write(`${error.cause?.message ?? error.message}\n`)
  process.exitCode = 1
}
