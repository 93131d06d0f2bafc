/** What `deploy/` says about Coffer holds: settings, routes, times, users, secrets. */

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { settings } from '@coffer/server'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { startCoffer } from '../packages/cli/test/start-coffer.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const deploy = join(root, 'deploy')
const pages = ['deploying.md', 'scaling.md'].map((name) => join(root, 'docs', name))
const makeFolder = () => mkdtempDisposable(join(tmpdir(), 'coffer-deploy-'))

const files = readdirSync(deploy, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !entry.parentPath.endsWith('secrets'))
  .map(({ parentPath, name }) => join(parentPath, name))

function isSetting(name: string): boolean {
  const plain = name.replace(/_FILE$/, '')
  const setting = Object.entries(settings).find(([known]) => known === plain)?.[1]
  return (
    setting !== undefined && (plain === name || 'secret' in setting || 'mayBeInFile' in setting)
  )
}

/** Whether the machine has what a test runs; if not, the sentence that says why is printed. */
function has(command: string): boolean {
  const isThere = spawnSync('which', [command]).status === 0
  if (!isThere) console.warn(`skipped: no ${command}`)
  return isThere
}

const Bag = z.record(z.string(), z.unknown())

/** What stands at `path` of a document, whatever that is. */
function at(document: unknown, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>((value, step) => {
    if (Array.isArray(value)) return value[Number(step)]
    return Bag.safeParse(value).data?.[step]
  }, document)
}

function readYaml(text: string): unknown[] {
  return parseAllDocuments(text, { merge: true, strict: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })
}

describe('every file of deploy/', () => {
  it.each([...files, ...pages].map((path) => [path.slice(root.length), path]))(
    '%s names settings that exist',
    (_, path) => {
      const named = readFileSync(path, 'utf8').match(/\bCOFFER_[A-Z_]*[A-Z]\b/g) ?? []
      expect(named.filter((name) => !isSetting(name))).toEqual([])
    },
  )

  it.each(
    files.filter((path) => path.endsWith('.yaml')).map((path) => [path.slice(root.length), path]),
  )('%s is YAML', (_, path) => {
    expect(readYaml(readFileSync(path, 'utf8')).length).toBeGreaterThan(0)
  })

  it
    .skipIf(!has('sh'))
    .each(
      files.filter((path) => path.endsWith('.sh')).map((path) => [path.slice(root.length), path]),
    )('%s is a script that a shell can read and run', async (_, path) => {
    expect(spawnSync('sh', ['-n', path]).status).toBe(0)
    expect((await stat(path)).mode & 0o111).toBe(0o111)
  })
})

const stopSeconds = Number(settings.COFFER_STOP_SECONDS.standard)
const idleSeconds = Number(settings.COFFER_IDLE_SECONDS.standard)

describe('the time to stop', () => {
  it.each([
    ['compose.yaml', /stop_grace_period: (\d+)s\n\s+# docs/],
    ['kubernetes/deployment.yaml', /terminationGracePeriodSeconds: (\d+)/],
    ['coffer@.service', /TimeoutStopSec=(\d+)s/],
  ])('in %s is longer than that of requests', (name, pattern) => {
    const [, seconds] = pattern.exec(readFileSync(join(deploy, name), 'utf8')) ?? []
    expect(Number(seconds)).toBeGreaterThanOrEqual(stopSeconds + 10)
  })
})

describe('nginx', () => {
  const conf = readFileSync(join(deploy, 'nginx.conf'), 'utf8')

  it.each(['nginx-upstream.conf', 'compose-upstream.conf'])(
    'as %s has it gives up a connection before Coffer does',
    (name) => {
      const text = readFileSync(join(deploy, name), 'utf8')
      const [, seconds] = /keepalive_timeout (\d+)s;/.exec(text) ?? []
      expect(Number(seconds)).toBeLessThan(idleSeconds)
    },
  )

  it('stores no body, limits none, and sends no POST twice', () => {
    for (const line of [
      'client_max_body_size 0;',
      'proxy_http_version 1.1;',
      'proxy_set_header Connection "";',
      'proxy_request_buffering off;',
      'proxy_buffering off;',
    ]) {
      expect(conf).toContain(line)
    }
    expect(conf).not.toContain('non_idempotent')
  })
})

describe('compose.yaml', () => {
  const [compose] = readYaml(readFileSync(join(deploy, 'compose.yaml'), 'utf8'))
  const services = Bag.parse(at(compose, 'services'))

  it.each(Object.entries(services))(
    'has %s read-only and without capabilities that it needs not',
    (_, service) => {
      expect(at(service, 'read_only')).toBe(true)
      expect(at(service, 'cap_drop')).toEqual(['ALL'])
      expect(at(service, 'security_opt')).toEqual(['no-new-privileges:true'])
    },
  )

  it.each(Object.entries(services))('has all that %s mounts or waits for', (_, service) => {
    const secrets = z.array(z.string()).parse(at(service, 'secrets') ?? [])
    for (const name of secrets) expect(at(compose, 'secrets', name), name).toBeDefined()
    const waited = Bag.parse(at(service, 'depends_on') ?? {})
    for (const [name, { condition }] of Object.entries(
      z.record(z.string(), z.object({ condition: z.string() })).parse(waited),
    )) {
      if (condition === 'service_healthy' && !name.startsWith('coffer')) {
        expect(at(services, name, 'healthcheck'), name).toBeDefined()
      } else {
        expect(services[name], name).toBeDefined()
      }
    }
    const volumes = z.array(z.string()).parse(at(service, 'volumes') ?? [])
    for (const volume of volumes) {
      const [from = ''] = volume.split(':')
      if (from.startsWith('./')) expect(files).toContain(join(deploy, from))
      else expect(at(compose, 'volumes', from), from).toBeDefined()
    }
  })

  it('has a file for every secret, once they are made', async () => {
    await using folder = await makeFolder()
    const made = join(folder.path, 'secrets')
    execFileSync(join(deploy, 'make-secrets.sh'), [made])
    const secrets = z
      .record(z.string(), z.object({ file: z.string() }))
      .parse(at(compose, 'secrets'))
    const names = Object.values(secrets).map(({ file }) => file.replace('./secrets/', ''))
    expect(readdirSync(made).sort()).toEqual(names.sort())
    expect((await stat(made)).mode & 0o777).toBe(0o700)

    const read = async (name: string) => (await readFile(join(made, name), 'utf8')).trim()
    const password = await read('postgres-password')
    expect(new URL(await read('metadata-url')).password).toBe(password)
    const [, accessKey] = /aws_access_key_id = (\S+)/.exec(await read('aws-credentials')) ?? []
    const [, secretKey] = /aws_secret_access_key = (\S+)/.exec(await read('aws-credentials')) ?? []
    const s3: unknown = JSON.parse(await read('seaweedfs-s3.json'))
    expect(at(s3, 'identities', 0, 'credentials', 0)).toEqual({ accessKey, secretKey })
    expect(spawnSync(join(deploy, 'make-secrets.sh'), [made]).status).toBe(1)
  })

  it('gives no secret to an image that is built, nor to git', () => {
    const ignored = spawnSync('git', ['check-ignore', '-q', 'deploy/secrets/api-key'], {
      cwd: root,
    })
    expect(ignored.status).toBe(0)
    const allowed = readFileSync(join(root, '.dockerignore'), 'utf8').match(/^!.*$/gm)
    expect(allowed?.filter((line) => line.startsWith('!deploy'))).toEqual([
      '!deploy/build.sh',
      '!deploy/healthcheck.js',
    ])
  })
})

describe('the manifests for Kubernetes', () => {
  const read = (name: string) => readYaml(readFileSync(join(deploy, 'kubernetes', name), 'utf8'))[0]
  const deployment = read('deployment.yaml')
  const pod = at(deployment, 'spec', 'template', 'spec')
  const container = at(pod, 'containers', 0)

  it('run as the user of the image, which is not root, on a file system that is read-only', () => {
    const [, user] =
      /^USER (\d+):\d+$/m.exec(readFileSync(join(deploy, 'Dockerfile'), 'utf8')) ?? []
    expect(at(pod, 'securityContext')).toMatchObject({
      runAsNonRoot: true,
      runAsUser: Number(user),
    })
    expect(at(container, 'securityContext')).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  })

  it('mount the secrets that they name', () => {
    const Named = z.array(z.object({ name: z.string(), value: z.string() }))
    const folder = at(container, 'volumeMounts', 0, 'mountPath')
    const secret = Bag.parse(at(read('secret.example.yaml'), 'stringData'))
    for (const { value } of Named.parse(at(container, 'env'))) {
      const [, name = ''] = new RegExp(`^${folder}/(.+)$`).exec(value) ?? []
      expect(Object.keys(secret)).toContain(name)
    }
    expect(String(secret['metadata-url'])).toContain(`sslrootcert=${folder}/postgres-ca.pem`)
  })

  it('select the pods that they make', () => {
    const labels = at(deployment, 'spec', 'template', 'metadata', 'labels')
    expect(at(deployment, 'spec', 'selector', 'matchLabels')).toEqual(labels)
    expect(at(read('service.yaml'), 'spec', 'selector')).toEqual(labels)
    expect(at(read('disruption-budget.yaml'), 'spec', 'selector', 'matchLabels')).toEqual(labels)
  })

  it.skipIf(!has('kubectl'))('are put together by kustomize', () => {
    const text = execFileSync('kubectl', ['kustomize', join(deploy, 'kubernetes')], {
      encoding: 'utf8',
    })
    const kinds = readYaml(text).map((document) => at(document, 'kind'))
    expect(kinds.sort()).toEqual(
      [
        'ConfigMap',
        'Deployment',
        'Ingress',
        'PodDisruptionBudget',
        'Service',
        'ServiceAccount',
      ].sort(),
    )
    expect(text).toContain('image: registry.example.com/coffer:')
  })
})

describe('docs/deploying.md', () => {
  const page = readFileSync(join(root, 'docs', 'deploying.md'), 'utf8')

  it('names metrics that a server shows', async () => {
    await using coffer = await startCoffer()
    await coffer.fetch('/v1/files')
    const shown = await (await coffer.fetch('/metrics')).text()
    const names = page.match(/\bcoffer_[a-z0-9_]+/g) ?? []
    expect(names.length).toBeGreaterThan(8)
    expect(names.filter((name) => !new RegExp(`^${name}\\b`, 'm').test(shown))).toEqual([])
  })

  it('names files of deploy/ that exist, and none is left out', () => {
    const named = new Set(page.match(/\bdeploy\/[\w@./-]*\w/g))
    for (const name of named) expect(existsSync(join(root, name)), name).toBe(true)
    for (const name of readdirSync(deploy)) {
      // These belong to the image and the compose file.
      if (/^(healthcheck\.js|compose-upstream\.conf|make-secrets\.sh|secrets)$/.test(name)) continue
      expect(
        [...named].some((path) => path.startsWith(`deploy/${name}`)),
        name,
      ).toBe(true)
    }
  })

  it('has shell that can be read', () => {
    const blocks = [...page.matchAll(/^```(?:sh|text)\n(.*?)^```$/gms)].map(([, code = '']) => code)
    expect(blocks.length).toBeGreaterThan(10)
    for (const block of blocks) {
      expect(spawnSync('bash', ['-n', '-c', block], { encoding: 'utf8' }).stderr).toBe('')
    }
  })
})

describe.skipIf(!has('systemd-analyze'))('the units of systemd', () => {
  it('are read without a complaint, with and without the stores', async () => {
    await using folder = await makeFolder()
    // A machine that has Coffer where the unit expects it is not needed for this.
    const program = join(folder.path, 'coffer')
    await writeFile(program, '#!/bin/sh\n')
    await chmod(program, 0o755)
    const unit = await readFile(join(deploy, 'coffer@.service'), 'utf8')
    const path = join(folder.path, 'coffer@.service')
    await writeFile(path, unit.replace('/opt/coffer/bin/coffer', program))
    const verify = () => spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
    expect(verify()).toMatchObject({ status: 0, stderr: '' })
    await mkdir(`${path}.d`)
    await cp(join(deploy, 'coffer-stores.conf'), join(`${path}.d`, 'stores.conf'))
    expect(verify()).toMatchObject({ status: 0, stderr: '' })
    await writeFile(
      path,
      `${unit.replace('/opt/coffer/bin/coffer', program)}\n[Service]\nNoSuch=1\n`,
    )
    expect(verify().stderr).toContain('NoSuch')
  })
})
