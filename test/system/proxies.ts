/** Proxies as people put them in front, on a socket of their own, gone with the test. */

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolder, runProgram } from '../../packages/cli/test/start-coffer.ts'

export interface Proxy extends AsyncDisposable {
  /** The socket that it listens on. */
  readonly path: string
}

export type ProxyName = 'haproxy' | 'nginx'

/** Why the suite of a proxy is skipped; in CI its lack is a failure. */
export function skipReasonOf(name: ProxyName): string | undefined {
  if (process.env['CI'] === 'true') return undefined
  try {
    execFileSync(name, ['-v'], { stdio: 'ignore' })
    return undefined
  } catch {
    const reason = `skipped: no ${name} (a Debian package)`
    console.warn(reason)
    return reason
  }
}

/** Both share connections to the server among their clients, so that one could poison another. */
const configurations: Record<ProxyName, (folder: string, port: number) => string> = {
  haproxy: (folder, port) => `
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  option http-keep-alive
frontend door
  bind unix@${folder}/socket
  default_backend coffer
backend coffer
  http-reuse always
  server coffer 127.0.0.1:${port} maxconn 8
`,
  nginx: (folder, port) => `
daemon off;
master_process off;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream coffer {
    server 127.0.0.1:${port};
    keepalive 8;
  }
  server {
    listen unix:${folder}/socket;
    client_max_body_size 0;
    location / {
      proxy_pass http://coffer;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_next_upstream off;
    }
  }
}
`,
}

const commands: Record<ProxyName, (folder: string, file: string) => string[]> = {
  haproxy: (_, file) => ['haproxy', '-db', '-f', file],
  nginx: (folder, file) => ['nginx', '-p', folder, '-c', file, '-e', join(folder, 'error.log')],
}

export async function startProxy(name: ProxyName, url: string): Promise<Proxy> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await makeFolder()).path
  const file = join(folder, 'proxy.conf')
  await writeFile(file, configurations[name](folder, Number(new URL(url).port)))
  const [command = name, ...args] = commands[name](folder, file)
  const program = started.use(runProgram(command, args))
  const path = join(folder, 'socket')
  let ended = false
  program.exited.then(
    () => {
      ended = true
    },
    () => {
      ended = true
    },
  )
  // Neither says when it listens.
  while (!(await accepts(path))) {
    if (ended) throw new Error(`${name} ended.\n${program.stderr}`)
    await delay(20)
  }
  const running = started.move()
  return { path, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

async function accepts(path: string): Promise<boolean> {
  const socket = connect({ path })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
