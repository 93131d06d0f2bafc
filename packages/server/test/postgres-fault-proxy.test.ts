/** That faults are what they are called, as a client and another session see them. */

import { readFile } from 'node:fs/promises'
import { Client, type ClientConfig } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresFaultProxy, startPostgresFaultProxy } from './postgres-fault-proxy.ts'
import { startPostgresServer } from './postgres-server.ts'
import { makeDatabase } from './test-database.ts'

describe('a proxy before PostgreSQL', () => {
  let made: AsyncDisposableStack
  let url: string
  let proxy: PostgresFaultProxy

  beforeAll(async () => {
    await using making = new AsyncDisposableStack()
    url = making.use(await makeDatabase()).url
    proxy = making.use(await startPostgresFaultProxy(url))
    await using client = await open(url)
    await client.query('create table counts (count integer primary key)')
    made = making.move()
  })
  afterEach(() => {
    proxy.heal()
    proxy.cut()
  })
  afterAll(() => made.disposeAsync())

  async function open(connectionString: string, options: ClientConfig = {}) {
    const client = new Client({ connectionString, ...options })
    client.on('error', () => {})
    await client.connect()
    return Object.assign(client, {
      // What became of the connection is not what is asked.
      [Symbol.asyncDispose]: async () => void client.end().catch(() => {}),
    })
  }

  async function has(count: number): Promise<boolean> {
    await using client = await open(url)
    return (await client.query('select from counts where count = $1', [count])).rowCount === 1
  }

  async function insert(count: number, options: ClientConfig = {}): Promise<void> {
    await using client = await open(proxy.url, options)
    await client.query('begin')
    await client.query('insert into counts values ($1)', [count])
    await client.query('commit')
  }

  it('changes nothing by itself', async () => {
    const before = proxy.requests.length
    await insert(1)
    expect(await has(1)).toBe(true)
    const all = ['connect', 'begin', 'insert into counts values ($1)', 'commit']
    expect(proxy.requests.slice(before)).toEqual(all)
    await using client = await open(proxy.url)
    const { rows } = await client.query<{ text: string }>("select repeat('x', 5000000) as text")
    expect(rows[0]?.text.length).toBe(5_000_000)
  })

  it.each([
    ['before', false],
    ['after', true],
  ] as const)('resets the connection %s a commit', async (reset, isDone) => {
    const count = isDone ? 3 : 2
    proxy.fail(/^commit/, { reset })
    await expect(insert(count)).rejects.toThrow()
    expect(await has(count)).toBe(isDone)
  })

  it('is silent after a commit, of which nobody is told', async () => {
    proxy.fail(/^commit/, { hang: 'after' })
    const silent = insert(4)
    const outcome = expect(silent).rejects.toThrow()
    await expect.poll(() => has(4)).toBe(true)
    proxy.cut()
    await outcome
  })

  it('leaves the session that it parts from its client to the server, with its locks', async () => {
    proxy.fail(/^commit/, { hang: 'before' })
    // Then the client closes its connection.
    await expect(insert(5, { query_timeout: 200 })).rejects.toThrow('timeout')
    await using other = await open(url)
    await other.query("set lock_timeout = '300ms'")
    const sql = 'insert into counts values (5)'
    await expect(other.query(sql)).rejects.toMatchObject({ code: '55P03' })
    proxy.cut()
    await other.query("set lock_timeout = '10s'")
    await other.query(sql)
  })

  it.each([/^insert/, /^commit/])('fails at %s as the server does', async (wanted) => {
    proxy.fail(wanted, { sqlState: '40001' })
    await using client = await open(proxy.url)
    await client.query('begin')
    const work = async () => {
      await client.query({ name: 'add', text: 'insert into counts values ($1)', values: [6] })
      await client.query('commit')
    }
    await expect(work()).rejects.toMatchObject({ code: '40001' })
    // A commit that fails has ended the transaction; else the server does nothing more in it.
    const next = await client.query('select').catch(({ code }: { code: string }) => code)
    expect(next === '25P02').toBe(wanted.test('insert'))
    await client.query('rollback')
    expect(await has(6)).toBe(false)
  })

  it('knows a prepared statement again', async () => {
    await using client = await open(proxy.url)
    const statement = { name: 'one', text: 'select 1' }
    await client.query(statement)
    proxy.fail(/^select 1$/, { sqlState: '57014' })
    await expect(client.query(statement)).rejects.toMatchObject({ code: '57014' })
    expect((await client.query(statement)).rowCount).toBe(1)
  })

  it('lets no session begin', async () => {
    proxy.fail('connect', { sqlState: '53300' })
    await expect(open(proxy.url)).rejects.toMatchObject({ code: '53300' })
    proxy.refuse()
    await expect(open(proxy.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await proxy.accept()
    await using _client = await open(proxy.url)
  })

  it.each(['before', 'after'] as const)('delays %s a statement', async (delay) => {
    proxy.fail(/^select 8/, { delay, milliseconds: 300 })
    await using client = await open(proxy.url)
    const begun = performance.now()
    expect((await client.query('select 8 as number')).rows).toEqual([{ number: 8 }])
    // Clocks of timers may be some milliseconds apart.
    expect(performance.now() - begun).toBeGreaterThan(290)
  })

  it.each(['close', 'silence'] as const)('cuts an answer, then %s', async (ending) => {
    proxy.fail(/^select 9/, { cutAt: 20, ending })
    await using client = await open(proxy.url, { query_timeout: 500 })
    const timeout = 'Query read timeout'
    const error = await client.query('select 9').catch(({ message }: Error) => message)
    expect(error === timeout).toBe(ending === 'silence')
    expect(error).toEqual(expect.any(String))
  })

  it('freezes and thaws', async () => {
    await using client = await open(proxy.url)
    proxy.freeze()
    let isAnswered = false
    const queries = Promise.all([client.query('select 1'), open(proxy.url)]).then(([, other]) => {
      isAnswered = true
      return other.end()
    })
    await using other = await open(url)
    await other.query('select pg_sleep(0.3)')
    expect(isAnswered).toBe(false)
    proxy.thaw()
    await queries
  })

  it('passes TLS on, and resets it', async () => {
    await using server = await startPostgresServer({ tls: true })
    await using before = await startPostgresFaultProxy(server.url)
    const ssl = { ca: await readFile(server.certificate, 'utf8') }
    await using client = await open(before.url, { ssl })
    await client.query('select 1')
    const sleeping = expect(client.query('select pg_sleep(600)')).rejects.toThrow()
    before.cut()
    await sleeping
    await using plain = await open(before.url)
    await plain.query('select 1')
  })
})
