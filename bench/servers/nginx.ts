/** nginx as a store of files: DAV PUT and `sendfile`, which neither hashes nor syncs. */

import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Server, startServer } from './program.ts'

export function findNginx(): string | undefined {
  const { stderr, error } = spawnSync('nginx', ['-V'], { encoding: 'utf8' })
  if (error !== undefined || !stderr.includes('http_dav_module')) return undefined
  return /nginx\/(\S+)/.exec(stderr)?.[1]
}

export async function startNginx(parent: string): Promise<Server> {
  const port = await freePort()
  return startServer(parent, async (folder) => {
    const path = join(folder, 'nginx.conf')
    await writeFile(path, configOf(folder, port))
    return { command: ['nginx', '-p', folder, '-c', path, '-e', 'stderr'], port }
  })
}

function configOf(folder: string, port: number): string {
  return `
daemon off;
user root;
worker_processes auto;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path ${folder}/tmp;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
    location / { dav_methods PUT DELETE; create_full_put_path on; }
  }
}
`
}

/** nginx cannot be asked which port it took. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('There is no free port.')
  return address.port
}
