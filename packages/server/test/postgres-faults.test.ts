import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { NewFile } from '../src/metadata/files.ts'
import type { MetadataStore } from '../src/metadata/metadata-store.ts'
import { openPostgresStore, type PostgresOptions } from '../src/metadata/postgres.ts'
import { connectPostgres, openPostgresPool } from '../src/metadata/postgres-client.ts'
import { type PostgresFaultProxy, startPostgresFaultProxy } from './postgres-fault-proxy.ts'
import { startPostgresServer, type TestDatabase } from './postgres-server.ts'
import { makeDatabase } from './test-database.ts'

const owner = { organization_id: 'org-1', project_id: 'proj_1' }
const { project_id } = owner
const now = 1_700_000_000
const unavailable = { name: 'MetadataError', code: 'unavailable' }
// Short, so that no test waits for long; the ratios are those of the standard.
const quick = {
  times: { connect: 300, statement: 400, answer: 450, lock: 300, idleInTransaction: 60_000 },
  patience: 1500,
}

describe('the PostgreSQL metadata store', () => {
  let database: TestDatabase
  let proxy: PostgresFaultProxy
  let store: MetadataStore
  let beside: MetadataStore

  beforeAll(async () => {
    database = await makeDatabase()
    proxy = await startPostgresFaultProxy(database.url)
    // A name in the URL is not the one by which a server finds its former connections.
    store = await open({ url: `${proxy.url}?application_name=mine`, ...quick })
    beside = await open({ url: database.url })
    await store.ensureOwner({ ...owner, now })
  })
  afterEach(() => {
    proxy.heal()
    proxy.thaw()
  })
  afterAll(async () => {
    await Promise.all([store.close(), beside.close()])
    await proxy[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  const isThere = async (id: string) =>
    (await beside.findFile({ project_id, id, now })) !== undefined

  it.each([
    ['a deadlock', /insert into "files"/, { sqlState: '40P01' }],
    ['a serialization failure at the end', /^commit/, { sqlState: '40001' }],
    ['a server that shuts down', /insert into "segments"/, { sqlState: '57P01' }],
    ['a primary that has become a standby', /update "organizations"/, { sqlState: '25006' }],
    ['a connection that is lost before the end', /insert into "files"/, { reset: 'before' }],
    ['a connection that is lost at the begin', /^begin/, { reset: 'after' }],
    ['a server that accepts nobody yet', 'connect', { sqlState: '57P03' }],
    // The database keeps the session for long, and with it the locks of its transaction.
    ['a network that lets nothing pass any more', /insert into "files"/, { hang: 'after' }],
  ] as const)('stores a file once in spite of %s', async (_, wanted, fault) => {
    if (wanted === 'connect') proxy.cut()
    const before = proxy.requests.length
    proxy.fail(wanted, fault, 2)
    const id = await add(store, newFile())
    expect(await isThere(id)).toBe(true)
    expect(proxy.requests.length).toBeGreaterThan(before)
    expect(await beside.takeLooseBlob({ blob_id: `blob-${id}` })).toBe(false)
  })

  it('knows no outcome where the connection is lost at the commit, and tries nothing again', async () => {
    for (const moment of ['before', 'after'] as const) {
      const file = newFile()
      await loosen(store, file)
      proxy.fail(/^commit/, { reset: moment })
      await expect(store.addFile({ file, quota_bytes: 1e9 })).rejects.toMatchObject(unavailable)
      expect(await isThere(file.id), moment).toBe(moment === 'after')
      // So whoever cleans up takes the bytes only where no file holds them.
      expect(await store.takeLooseBlob({ blob_id: `blob-${file.id}` })).toBe(moment === 'before')
    }
  })

  it('tries nothing again of which the database says at the commit that it shuts down', async () => {
    const file = newFile()
    await loosen(store, file)
    proxy.fail(/^commit/, { sqlState: '57P01' })
    await expect(store.addFile({ file, quota_bytes: 1e9 })).rejects.toMatchObject(unavailable)
    expect(await isThere(file.id)).toBe(false)
  })

  it('counts a file once whose commit was not answered', async () => {
    const used = await beside.findUsedBytes(owner)
    const file = newFile()
    await loosen(store, file)
    proxy.fail(/^commit/, { reset: 'after' })
    await expect(store.addFile({ file, quota_bytes: 1e9 })).rejects.toMatchObject(unavailable)
    await add(store, newFile())
    expect(await beside.findUsedBytes(owner)).toBe(used + 20)
  })

  it.each([
    ['53100', 'full'],
    ['53200', 'unavailable'],
    ['55P03', 'busy'],
    ['57014', 'unavailable'],
    ['58030', 'unavailable'],
    ['XX001', 'unavailable'],
  ])('says at once what it cannot do, with %s', async (sqlState, code) => {
    const file = newFile()
    await loosen(store, file)
    proxy.fail(/insert into "files"/, { sqlState })
    await expect(store.addFile({ file, quota_bytes: 1e9 })).rejects.toMatchObject({ code })
    expect(await isThere(file.id)).toBe(false)
    expect(await add(store, newFile())).toBeDefined()
  })

  it('reads in spite of lost connections', async () => {
    const id = await add(store, newFile())
    for (let round = 0; round < 5; round += 1) {
      proxy.cut()
      expect(await store.findFile({ project_id, id, now })).toMatchObject({ id })
    }
    proxy.fail(/select/, { reset: 'after' }, 2)
    expect(await store.findFile({ project_id, id, now })).toMatchObject({ id })
  })

  it('refuses in bounded time what nobody answers, and goes on when the network does', async () => {
    const id = await add(store, newFile())
    const file = newFile()
    proxy.freeze()
    const begun = performance.now()
    const outcomes = await Promise.allSettled([
      store.findFile({ project_id, id, now }),
      store.addFile({ file, quota_bytes: 1e9 }),
      store.check(),
    ])
    const refused = { status: 'rejected', reason: unavailable }
    expect(outcomes).toMatchObject([refused, refused, refused])
    const longest = quick.patience + quick.times.connect + quick.times.answer
    // Twice, as a busy machine tells late.
    expect(performance.now() - begun).toBeLessThan(2 * longest)
    proxy.thaw()
    expect(await store.findFile({ project_id, id, now })).toMatchObject({ id })
    await add(store, newFile())
  })

  it('waits for a fail-over, and refuses after a time', async () => {
    proxy.refuse()
    proxy.cut()
    await expect(store.findUsedBytes(owner)).rejects.toMatchObject(unavailable)
    const file = newFile()
    const late = [loosen(store, file), store.findUsedBytes(owner)]
    await proxy.accept()
    await Promise.all(late)
  })

  it('refuses all writes that wait, in bounded time, where nobody is reached, and can be closed', async () => {
    const closing = await open({ url: proxy.url, ...quick })
    proxy.refuse()
    proxy.cut()
    const begun = performance.now()
    // More than share one transaction.
    const writes = Array.from({ length: 200 }, () => loosen(closing, newFile()))
    const outcomes = await Promise.allSettled(writes)
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: unavailable })
    }
    expect(performance.now() - begun).toBeLessThan(2 * quick.patience)
    await closing.close()
    await proxy.accept()
    await add(store, newFile())
  })

  it('refuses at once what comes while far too many writes wait', async () => {
    proxy.freeze()
    const write = () => store.takeLooseBlob({ blob_id: 'none' })
    const writes = Array.from({ length: 10_100 }, () => write().catch(() => 'refused'))
    const outcomes: unknown[] = []
    for (const written of writes) void written.then((outcome) => outcomes.push(outcome))
    await expect(write()).rejects.toThrow('Too many writes wait.')
    expect(outcomes).toHaveLength(100)
    proxy.thaw()
    await Promise.all(writes)
    expect(await store.takeLooseBlob({ blob_id: 'none' })).toBe(false)
  })

  it('asks once for all who ask at once whether it works', async () => {
    const before = proxy.requests.length
    await Promise.all(Array.from({ length: 100 }, () => store.check()))
    const commits = proxy.requests.slice(before).filter((came) => came.startsWith('commit'))
    expect(commits).toHaveLength(1)
  })

  it('does not wait for ever for a database that falls silent as it starts', async () => {
    proxy.fail(/encoding/, { hang: 'before' }, 100)
    await expect(open({ url: proxy.url, ...quick })).rejects.toThrow('cannot be used')
  })

  it('lets no further read wait for what one is never answered', async () => {
    await using opened = await openDisposable({ url: proxy.url, connections: 1, ...quick })
    await opened.store.findUsedBytes(owner)
    proxy.fail(/select/, { hang: 'after' })
    // By another connection.
    expect(await opened.store.findUsedBytes(owner)).toBe(await beside.findUsedBytes(owner))
    expect(await opened.store.findUsedBytes(owner)).toBe(await beside.findUsedBytes(owner))
  })

  it('lets the database itself end what takes too long, on every connection', async () => {
    const pool = openPostgresPool(database.url, 1, quick.times)
    const connection = await connectPostgres(database.url, quick)
    for (const { db } of [pool, connection]) {
      const sleeping = sql`select pg_sleep(60)`.execute(db)
      await expect(sleeping).rejects.toMatchObject({ code: '57014' })
    }
    await Promise.all([pool.close(), connection.close()])
  })

  it('uses no more connections than it is told', async () => {
    const before = proxy.requests.length
    await using opened = await openDisposable({ url: proxy.url, connections: 3 })
    const asked = Array.from({ length: 100 }, () => opened.store.findStore())
    await Promise.all([...asked, opened.store.check(), renew(opened.store)])
    const connects = proxy.requests.slice(before).filter((came) => came === 'connect')
    // Besides the three: one that prepares and is closed again, and one that writes.
    expect(connects).toHaveLength(5)
  })

  it('waits for a lock, but not for ever', async () => {
    const locker = new pg.Client(database.url)
    await locker.connect()
    await locker.query('begin; select from organizations for update')
    const file = newFile()
    await loosen(store, file)
    const busy = { name: 'MetadataError', code: 'busy' }
    await expect(store.addFile({ file, quota_bytes: 1e9 })).rejects.toMatchObject(busy)
    const adding = store.addFile({ file, quota_bytes: 1e9 })
    await locker.query('rollback')
    expect(await adding).toBe('added')
    await locker.end()
  })

  it('keeps no other organization waiting for one that is locked', async () => {
    const other = { organization_id: 'org-free', project_id: 'proj_free' }
    await run(
      database.url,
      `insert into organizations (id, name, used_bytes, created_at) values ('org-free', 'Free', 0, 0);
      insert into projects (id, organization_id, name, created_at)
      values ('proj_free', 'org-free', 'Free', 0)`,
    )
    await using locker = await connect(database.url)
    await locker.query(`begin; select from organizations where id = 'org-1' for update`)
    const [locked, free] = [newFile(), newFile(other)]
    await Promise.all([loosen(store, locked), loosen(store, free)])
    const [waiting, added] = [locked, free].map((file) => store.addFile({ file, quota_bytes: 1e9 }))
    // Or too long after all, when it has waited.
    const outcome = waiting?.catch((error: Error) => error.name)
    expect(await added).toBe('added')
    // More of the locked one than share a transaction are before it in the queue.
    const many = Array.from({ length: 200 }, () => newFile())
    await Promise.all(many.map((file) => loosen(store, file)))
    const adding = many.map((file) => store.addFile({ file, quota_bytes: 1e9 }))
    const outcomes = Promise.allSettled(adding)
    for (let round = 0; round < 10; round += 1) {
      const begun = performance.now()
      const file = newFile(other)
      await loosen(store, file)
      expect(await store.addFile({ file, quota_bytes: 1e9 })).toBe('added')
      // Less than a lock is waited for.
      expect(performance.now() - begun).toBeLessThan(2 * quick.patience)
    }
    await locker.query('rollback')
    expect(await outcome).toBeOneOf(['added', 'MetadataError'])
    await outcomes
  })

  it('refuses what meets a locked row, and nothing that shares its transaction', async () => {
    const [locked, ...others] = Array.from({ length: 10 }, () => newFile())
    for (const file of [locked ?? newFile(), ...others]) await loosen(store, file)
    await using locker = await connect(database.url)
    await locker.query(
      `begin; select from loose_blobs where blob_id = 'blob-${locked?.id}' for update`,
    )
    const taking = store.takeLooseBlob({ blob_id: `blob-${locked?.id}` })
    const adding = others.map((file) => store.addFile({ file, quota_bytes: 1e9 }))
    await expect(taking).rejects.toMatchObject({ code: 'busy' })
    expect(new Set(await Promise.all(adding))).toEqual(new Set(['added']))
    await locker.query('rollback')
  })

  it('gives no number that is not exact', async () => {
    const client = new pg.Client(database.url)
    await client.connect()
    await client.query(
      `insert into organizations (id, name, used_bytes, created_at)
      values ('org-2', 'Large', 9007199254740993, 0)`,
    )
    const used = store.findUsedBytes({ organization_id: 'org-2' })
    await expect(used).rejects.toThrow('9007199254740993')
    await client.end()
  })

  it('tells which history of the database the rows are in', async () => {
    const { history } = await store.findStore()
    expect(history).toMatch(/^\d+\/[0-9A-F]{8}$/)
    expect((await beside.findStore()).history).toBe(history)
  })
})

describe('a PostgreSQL database', () => {
  it('is brought up to date once by servers that start at once', async () => {
    await using database = await makeDatabase()
    const stores = await Promise.all([1, 2, 3].map(() => open({ url: database.url })))
    await Promise.all(stores.map((store) => store.ensureOwner({ ...owner, now })))
    await Promise.all(stores.map((store) => store.close()))
  })

  it('of a newer Coffer is refused', async () => {
    await using database = await makeDatabase()
    await (await open({ url: database.url })).close()
    await run(database.url, 'update coffer_schema set version = 1000')
    await expect(open({ url: database.url })).rejects.toThrow(
      /cannot be used: The database has schema 1000, and this Coffer knows \d+ at most\. Start/,
    )
  })

  it('is for one server alone whose bytes others do not have', async () => {
    await using database = await makeDatabase()
    const { url } = database
    const alone = await open({ url, isShared: false })
    for (const isShared of [false, true]) {
      await expect(open({ url, isShared, ...quick })).rejects.toThrow('in use by another')
    }
    await alone.close()
    await using _shared = await openDisposable({ url })
    await using _too = await openDisposable({ url })
    await expect(open({ url, isShared: false, ...quick })).rejects.toThrow('in use by another')
  })

  it('of another encoding than UTF-8 is refused with what to do', async () => {
    await using server = await startPostgresServer()
    await run(
      server.url,
      "create database latin template template0 encoding 'LATIN1' locale_provider libc locale 'C'",
    )
    const url = Object.assign(new URL(server.url), { pathname: '/latin' }).href
    await expect(open({ url })).rejects.toThrow(
      'it has the encoding LATIN1; make one with the encoding UTF8',
    )
  })

  it('that cannot be reached is told of without its password', async () => {
    await using database = await makeDatabase()
    const url = new URL(database.url)
    url.password = 'not-the-one'
    const refused = await open({ url: url.href, patience: 100 }).catch((error: Error) => error)
    expect(refused).toMatchObject({
      message: expect.stringMatching(/^The database of COFFER_METADATA_URL cannot be used: pass/),
    })
    expect(JSON.stringify(refused)).not.toContain('not-the-one')
    url.port = '1'
    const closed = open({ url: url.href, patience: 100 })
    await expect(closed).rejects.toThrow('ECONNREFUSED 127.0.0.1:1')
  })

  it('that is a standby is not written to, nor read, as its rows may be old', async () => {
    await using server = await startPostgresServer()
    const former = await open({ url: server.url, ...quick })
    await former.ensureOwner({ ...owner, now })
    await server.stop()
    await server.makeStandby()
    await server.start()
    await expect(former.findUsedBytes(owner)).rejects.toMatchObject(unavailable)
    await expect(renew(former)).rejects.toMatchObject(unavailable)
    await former.close()
    await expect(open({ url: server.url, ...quick })).rejects.toThrow('The database is a standby.')
  })

  it('is reached by TLS as its URL says', async () => {
    await using server = await startPostgresServer({ tls: true })
    const isEncrypted = async (parameters: Record<string, string>) => {
      const url = new URL(server.url)
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      await using _opened = await openDisposable({ url: url.href })
      const { rows } = await run(
        server.url,
        `select ssl from pg_stat_ssl join pg_stat_activity using (pid)
        where application_name like 'coffer%'`,
      )
      return rows.map(({ ssl }) => ssl)
    }
    const sslrootcert = server.certificate
    expect(await isEncrypted({ sslmode: 'verify-full', sslrootcert })).toEqual([true])
    expect(await isEncrypted({ sslmode: 'require' })).toEqual([true])
    expect(await isEncrypted({})).toEqual([false])
    await expect(isEncrypted({ sslmode: 'verify-full' })).rejects.toThrow('self-signed')
  })
})

describe('a crash of PostgreSQL', () => {
  it('loses nothing that was acknowledged, whatever its configuration says, and needs no restart', async () => {
    const kills = 4
    await using server = await startPostgresServer({
      // With these nothing of the last ten seconds would outlast a crash.
      settings: { synchronous_commit: 'off', wal_writer_delay: '10s', wal_writer_flush_after: '0' },
    })
    await using opened = await openDisposable({ url: server.url })
    const { store } = opened
    await store.ensureOwner({ ...owner, now })
    const acknowledged: string[] = []
    let doubtful = 0
    let isOver = false

    async function write(): Promise<void> {
      while (!isOver) {
        try {
          acknowledged.push(await add(store, newFile()))
        } catch (error) {
          if (!(error instanceof Error && error.name === 'MetadataError')) throw error
          doubtful += 1
        }
      }
    }
    const writers = Array.from({ length: 8 }, write)
    for (let kill = 0; kill < kills; kill += 1) {
      const enough = acknowledged.length + 50
      while (acknowledged.length < enough) await sleep(5)
      await server.kill()
      await server.start()
    }
    const enough = acknowledged.length + 50
    while (acknowledged.length < enough) await sleep(5)
    isOver = true
    await Promise.all(writers)

    const lost: string[] = []
    for (const id of acknowledged) {
      const file = await store.findFile({ project_id, id, now })
      const segments = await store.listSegments({ project_id, file_id: id })
      if (file === undefined || segments.length !== 1) lost.push(id)
    }
    expect(lost).toEqual([])
    const { rows } = await run(server.url, 'select count(*)::int as count from files')
    expect(await store.findUsedBytes(owner)).toBe(rows[0].count * 10)
    console.log(
      `PostgreSQL killed ${kills} times: ${acknowledged.length} files acknowledged, ` +
        `${doubtful} calls refused; 0 lost`,
    )
  })
})

function open(options: Partial<PostgresOptions> & { url: string }): Promise<MetadataStore> {
  return openPostgresStore({ connections: 4, isShared: true, warn() {}, ...options })
}

async function openDisposable(options: Partial<PostgresOptions> & { url: string }) {
  const store = await open(options)
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

async function connect(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client(url)
  await client.connect()
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

async function run(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

function renew(store: MetadataStore) {
  return store.renewServer({ id: 'server_1' })
}

let files = 0

/** Of ten bytes in a blob of its own. */
function newFile(of = owner): NewFile {
  files += 1
  const id = `file-${files}`
  return {
    ...{ id, ...of, purpose: 'user_data', filename: 'f', bytes: 10, sha256: 'ab' },
    ...{ encoding: 'binary', created_at: now, expires_at: null, mime_type: null, num_lines: null },
    tokens: null,
    segments: [{ blob_id: `blob-${id}`, bytes: 10, checksums: Uint8Array.of(1) }],
  }
}

function loosen(store: MetadataStore, { segments }: NewFile): Promise<void> {
  const blob_ids = segments.map(({ blob_id }) => blob_id)
  return store.addLooseBlobs({ blob_ids, sweep_after: now, server_id: 'server_1' })
}

async function add(store: MetadataStore, file: NewFile): Promise<string> {
  await loosen(store, file)
  expect(await store.addFile({ file, quota_bytes: 1e9 })).toBe('added')
  return file.id
}
